"""Requests of a coding agent, each of which repeats the one before and adds to it, as agents really change them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

_WORDS = ("file", "read", "the", "\\u00e9", "été", "path/to", "https://u:p@example.org/a?key=1", '"quoted"', "line\n")
_SEPARATORS = ((",", ":"), (", ", ": "), (" ,\n", " :\t"))


def agent_turns(path: str, chance: random.Random, count: int = 30) -> Iterator[bytes]:
    """Yield the bodies of `count` requests for the call `path`: mostly one that goes on, sometimes one with a changed
    beginning, an edited last message, another tail, odd white space, a key twice, or something that is no object."""
    name = "input" if path == "/responses" else "messages"
    body = {
        "model": "gpt-4o",
        name: [_message(chance, path) for _ in range(chance.randint(30, 60))],
        "tools": [{"name": f"tool_{each}", "description": _text(chance)} for each in range(5)],
        "stream": True,
    }
    separators = chance.choice(_SEPARATORS)
    for _ in range(count):
        body = {**body, name: _changed(body[name], chance, path)}
        if chance.random() < 0.05:
            body["metadata"] = {"user_id": str(chance.random())}
        if chance.random() < 0.05:
            body["model"] = f"{body['model']}x"
        written = separators if chance.random() < 0.9 else chance.choice(_SEPARATORS)
        raw = json.dumps(body, separators=written).encode()
        if chance.random() < 0.05:
            raw = raw[:-1] + chance.choice([b',"%b":[]}' % name.encode(), b',"model":"other"}', b"}}", b""])
        yield raw


def _changed(items: Any, chance: random.Random, path: str) -> list[Any]:
    """Return the items of the next turn."""
    kind = chance.random()
    if kind < 0.7:
        return [*items, *(_message(chance, path) for _ in range(chance.randint(0, 4)))]
    if kind < 0.85:
        return [*items[: chance.randint(len(items) - 5, len(items))], _message(chance, path)]
    if kind < 0.9:
        place = chance.randrange(len(items))
        return [*items[:place], _message(chance, path), *items[place + 1 :]]
    return [*items, chance.choice([1, 1.5, 12, "", None, [], {}, -0.0, 1e3])]


def _message(chance: random.Random, path: str) -> dict[str, Any]:
    kind, text = chance.randrange(6 if path == "/responses" else 4), _text(chance)
    if kind == 0:
        return {"role": "user", "content": text}
    if kind == 1:
        part = {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}
        return {"role": "assistant", "content": [part]}
    if kind == 2:
        key = chance.choice(["", "sk-abcdef-1"])
        return {"role": "tool", "tool_call_id": "call_1", "content": text, "api_key": key}
    if kind == 3:
        return {"role": "system", "content": f"sk-client-secret {text}" if chance.random() < 0.1 else text}
    if kind == 4:
        return {"type": "function_call", "call_id": "c", "name": "f", "arguments": json.dumps({"x": text})}
    return {"type": "reasoning", "summary": [], "encrypted_content": text}


def _text(chance: random.Random) -> str:
    return " ".join(chance.choices(_WORDS, k=chance.randint(1, 200)))
