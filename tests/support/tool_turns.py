"""Conversations with calls of tools, as agents of several dialects send them turn after turn."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

Item = dict[str, Any]
_IMAGE = "iVBORw0KGgo="
_PDF = "data:application/pdf;base64,JVBERg=="
_WORDS = ("read", "the", "file", "été", "日本", '"quoted"', "line\n", "\t", "{}", "\u2028")


def tool_turns(dialect: str, chance: random.Random, count: int, *, size: int = 40, odd: float = 0.1) -> Iterator[bytes]:
    """Yield the bodies of `count` requests of one conversation, of `chat` or `messages`: mostly the last one and a few
    messages more. As often as `odd` says, history is edited, cut at its end or its beginning, or has something unusual:
    marks, late or repeated results, messages of the system, documents, custom tools, long names."""
    add = _ADD[dialect]
    items: list[Item] = [{"role": "system", "content": _text(chance)}] if dialect == "chat" else []
    items.append({"role": "user", "content": "Begin"})
    tools = chance.choice([1, 3])
    others = _others(dialect, tools)
    first = ["messages"] if chance.random() < 0.3 else []  # as SDKs write them
    while len(items) < size:
        items += add(chance, 0)
    for _ in range(count):
        items = [*items, *add(chance, odd)]
        if chance.random() < odd:
            items = _changed(items, chance)
        if chance.random() < odd / 2:
            others = {**others, "temperature": chance.random()}
        yield _written({**others, "messages": _marked(items, chance, odd)}, first)


def _others(dialect: str, tools: int) -> Item:
    schema = {"type": "object", "properties": {"path": {"type": "string"}}}
    if dialect == "chat":
        listed = [
            {"type": "function", "function": {"name": f"tool_{each}", "description": "d", "parameters": schema}}
            for each in range(tools)
        ]
        return {"model": "m", "tools": listed, "seed": 7, "reasoning_effort": "low"}
    named = [{"name": f"tool_{each}", "input_schema": schema} for each in range(tools)]
    system = [{"type": "text", "text": "Be good"}]
    thinking = {"type": "enabled", "budget_tokens": 1024}
    return {"model": "m", "max_tokens": 4000, "system": system, "tools": named, "top_k": 3, "thinking": thinking}


def _written(body: Item, first: list[str]) -> bytes:
    """Write a body with the members `first` before all others."""
    return json.dumps({name: body[name] for name in dict.fromkeys((*first, *body))}).encode()


def _changed(items: list[Item], chance: random.Random) -> list[Item]:
    kind = chance.randrange(5)
    if kind == 0:
        return items[: chance.randint(len(items) // 2, len(items))]
    if kind == 1:
        return [*items[:2], {"role": "user", "content": "A summary of it all"}, *items[len(items) // 2 :]]
    place = chance.randrange(len(items))
    if kind == 2:
        return [*items[:place], {"role": "user", "content": _text(chance)}, *items[place + 1 :]]
    if kind == 3:
        return [*items[:place], *items[place + 1 :]]
    return [*items, items[chance.randrange(len(items))]]


def _marked(items: list[Item], chance: random.Random, odd: float) -> list[Item]:
    """Return the messages with marks that move with the end of the conversation, as some agents set them."""
    if chance.random() > odd:
        return items
    part = {"type": "text", "text": "Go on", "cache_control": {"type": "ephemeral"}}
    return [*items, {"role": "user", "content": [part]}]


def _text(chance: random.Random) -> str:
    return " ".join(chance.choices(_WORDS, k=chance.randint(1, 150)))


def _id(chance: random.Random) -> str:
    return f"call_{chance.randrange(1 << 40)}"


def _arguments(chance: random.Random) -> Item:
    return {"path": chance.choice(_WORDS), "lines": chance.randrange(9)}


def _add_chat(chance: random.Random, odd: float) -> list[Item]:
    """Return the next messages of an agent that speaks chat."""
    if chance.random() < 0.2:
        said = [{"role": "assistant", "content": _text(chance)}, {"role": "user", "content": _text(chance)}]
        return [*said, *(_odd_chat(chance) if chance.random() < odd else [])]
    ids = [_id(chance) for _ in range(chance.choice([1, 1, 2]))]
    calls = [
        {"id": each, "type": "function", "function": {"name": "tool_0", "arguments": json.dumps(_arguments(chance))}}
        for each in ids
    ]
    asked: Item = {"role": "assistant", "content": chance.choice([None, "Let me look"]), "tool_calls": calls}
    if chance.random() < odd:
        asked[chance.choice(["reasoning_content", "annotations", "name"])] = chance.choice(["hm", "x"])
    results: list[Item] = [{"role": "tool", "tool_call_id": each, "content": _text(chance)} for each in ids]
    if chance.random() < odd:
        results += _odd_chat(chance)
        chance.shuffle(results)
    return [asked, *results]


def _odd_chat(chance: random.Random) -> list[Item]:
    call = _id(chance)
    kinds: list[Callable[[], list[Item]]] = [
        lambda: [{"role": "system", "content": "Remember"}],
        lambda: [{"role": "user", "content": [_picture(f"data:image/png;base64,{_IMAGE}")]}],
        lambda: [{"role": "user", "content": [_picture("https://example.org/a.png")]}],
        lambda: [{"role": "tool", "tool_call_id": call, "content": "of nobody"}],
        lambda: [{"role": "user", "content": "   "}],
        lambda: [{"role": "user", "content": "Hi", "name": "ann"}],
        lambda: [_called(call, "tool_0", "{")],
        lambda: [_called(call, "a.name/" + "x" * 70, "{}"), {"role": "tool", "tool_call_id": call, "content": "y"}],
        lambda: [{"role": "assistant", "content": None, "function_call": {"name": "tool_0", "arguments": "{}"}}],
        lambda: [{"role": "function", "name": "tool_0", "content": "of a function"}],
        lambda: [{"role": "user", "content": [{"type": "file", "file": {"file_data": _PDF}}]}],
        lambda: [{"role": "assistant", "content": "half an answer"}],
    ]
    return chance.choice(kinds)()


def _picture(url: str) -> Item:
    return {"type": "image_url", "image_url": {"url": url}}


def _called(call: str, name: str, arguments: str) -> Item:
    function = {"name": name, "arguments": arguments}
    return {"role": "assistant", "tool_calls": [{"id": call, "type": "function", "function": function}]}


def _add_messages(chance: random.Random, odd: float) -> list[Item]:
    """Return the next messages of an agent that speaks messages."""
    thought = {"type": "thinking", "thinking": "hm", "signature": "c2VhbGVk" * 4}
    if chance.random() < 0.2:
        words = {"role": "user", "content": [{"type": "text", "text": _text(chance)}]}
        return [{"role": "assistant", "content": [thought, {"type": "text", "text": _text(chance)}]}, words]
    ids = [_id(chance).replace("call", "toolu") for _ in range(chance.choice([1, 1, 2]))]
    calls = [{"type": "tool_use", "id": each, "name": "tool_0", "input": _arguments(chance)} for each in ids]
    before = [thought] if chance.random() < 0.5 else []
    results: list[Item] = [{"type": "tool_result", "tool_use_id": each, "content": _text(chance)} for each in ids]
    if chance.random() < odd:
        results += _odd_blocks(chance)
    return [{"role": "assistant", "content": [*before, *calls]}, {"role": "user", "content": results}]


def _odd_blocks(chance: random.Random) -> list[Item]:
    call = _id(chance)
    source = {"type": "base64", "media_type": "image/png", "data": _IMAGE}
    part = {"type": "text", "text": "part", "cache_control": {"type": "ephemeral"}}
    kinds: list[list[Item]] = [
        [{"type": "image", "source": source}],
        [{"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}],
        [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}],
        [{"type": "tool_result", "tool_use_id": call, "content": "of nobody", "is_error": True}],
        [{"type": "tool_result", "tool_use_id": call, "content": [part, {"type": "image", "source": source}]}],
        [{"type": "text", "text": " "}],
        [part],
        [{"type": "search_result", "source": "s", "title": "t", "content": []}],
        [{"type": "tool_result", "tool_use_id": call, "content": [{"type": "tool_reference", "tool_name": "tool_0"}]}],
    ]
    return chance.choice(kinds)


_ADD: dict[str, Callable[[random.Random, float], list[Item]]] = {"chat": _add_chat, "messages": _add_messages}
