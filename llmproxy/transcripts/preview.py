"""A conversation in short: the last question, the answer, and the tools called; without secrets.

Bodies are decoded and masked as in traces, which takes time: call `preview` in a thread. Parts that cannot be read are
left out. Begin reading at `preview`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from llmproxy.dialects.dialect import Dialect
from llmproxy.records.record_body import decompress_parts
from llmproxy.redaction.masking import mask_parts
from llmproxy.redaction.secrets import forms_of
from llmproxy.wire.framing import Framing
from llmproxy.wire.json import read_value

# Reading a conversation of this size takes some 10 ms, during which no other thread runs.
READ_BYTES = 2 * 1024 * 1024
# The beginning of a message in the text of a request.
_TURN = re.compile(r"^(system|developer|user|assistant|tool|function|unknown): ", re.MULTILINE)
_ASKING_ROLES = ("user", "tool", "function")
# Dialects mark a tool call by the type of the block, or by the name of the member that holds it.
_CALL_TYPE = re.compile(r"(\w+_)?(tool_use|function_call|tool_call)")
_CALL_MEMBER = "function"
# Answers may repeat the tools of the request, which are no calls.
_REPEATED = "tools"
_MAX_DEPTH = 12


@dataclass(slots=True, kw_only=True)
class ExchangeBodies:
    """Bodies of one exchange as they went over the wire. `short` says that parts of the answer are missing."""

    dialect: Dialect
    secrets: tuple[str, ...]
    request: bytes = b""
    request_encoding: str = ""
    response: list[bytes] = field(default_factory=list)
    response_encoding: str = ""
    framing: Framing | None = None
    short: bool = False


@dataclass(frozen=True, slots=True)
class Preview:
    """Last text sent to the model, the text of its answer, and the names of the tools it called."""

    question: str | None
    answer: str | None
    calls: tuple[str, ...]


def preview(bodies: ExchangeBodies) -> Preview:
    """Return the preview of a conversation, as far as it can be read."""
    request = _clean([bodies.request], bodies.request_encoding, bodies.secrets, short=False)
    response = _clean(bodies.response, bodies.response_encoding, bodies.secrets, short=bodies.short)
    question = None if request is None else _last_turn(bodies.dialect.readers.request_text(request))
    if not response:
        return Preview(question, None, ())
    if bodies.framing is not None:
        watch = bodies.dialect.readers.watch(text=True)
        watch.feed(response)
        answer = watch.close().text
        splitter = bodies.framing.splitter()
        values = [read_value(frame.data) for frame in (*splitter.feed(response), *splitter.flush())]
    else:
        answer = bodies.dialect.readers.summarize(response, text=True).text
        values = [read_value(response)]
    calls: dict[str, str] = {}
    for value in values:
        for place, name in _calls(value):
            calls.setdefault(place, name)
    return Preview(question, answer or None, tuple(calls.values()))


def _clean(parts: list[bytes], encoding: str, secrets: tuple[str, ...], *, short: bool) -> bytes | None:
    """Return the body without its coding and secrets; None when it is too long to be read."""
    decoded, cut = decompress_parts(parts, encoding, READ_BYTES)
    data = b"".join(decoded)
    if cut or len(data) > READ_BYTES:
        return None
    return mask_parts([data], forms_of(secrets), whole=not short)[0]


def _last_turn(text: str | None) -> str | None:
    """Return the last text of a conversation that is not the model's. Text without roles is returned whole."""
    if text is None:
        return None
    turns = list(_TURN.finditer(text))
    if not turns:
        return text or None
    ends = [*(turn.start() for turn in turns[1:]), len(text)]
    for turn, end in zip(reversed(turns), reversed(ends), strict=True):
        message = text[turn.end() : end].strip()
        if message and turn[1] in _ASKING_ROLES:
            return message
    return None


def _calls(value: Any, place: str = "", depth: int = _MAX_DEPTH) -> Iterator[tuple[str, str]]:
    """Yield the tool calls in a reply or an event: an identifier, and the tool's name."""
    if not depth:
        return
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield from _calls(each, f"{place}/{number}", depth - 1)
    elif isinstance(value, dict):
        called = value.get(_CALL_MEMBER)
        marked = isinstance(value.get("type"), str) and _CALL_TYPE.fullmatch(value["type"])
        name = value.get("name") if marked else called.get("name") if isinstance(called, dict) else None
        if isinstance(name, str) and name:
            yield str(value.get("call_id") or value.get("id") or place), name
            return
        for member, each in value.items():
            if member != _REPEATED:
                yield from _calls(each, f"{place}/{member}", depth - 1)
