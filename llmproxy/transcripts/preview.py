"""A conversation at a glance: what was asked last, what was answered, which tools were called; without secrets.

Bodies are decoded and masked as in traces, which takes its time: this belongs into a thread. Whatever cannot be read
gives nothing. Begin reading at `glance`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from llmproxy.dialects.dialect import Dialect
from llmproxy.records.record_body import decode_parts
from llmproxy.redaction.masking import mask_parts
from llmproxy.redaction.secrets import forms_of
from llmproxy.wire.framing import Framing
from llmproxy.wire.json import read_value

# Reading a conversation of this size takes some 10 ms, during which no other thread runs.
READ_BYTES = 2 * 1024 * 1024
# Where a line of a conversation begins that somebody else than the model said.
_TURN = re.compile(r"^(system|developer|user|assistant|tool|function|unknown): ", re.MULTILINE)
_ASKING = ("user", "tool", "function")
# How dialects mark a call of a tool: by the type of the block, or by the name of the member that holds it.
_CALL_TYPE = re.compile(r"(\w+_)?(tool_use|function_call|tool_call)")
_CALL_MEMBER = "function"
# What is only repeated from the request: the tools that might have been called.
_OFFERED = "tools"
_DEEPEST = 12


@dataclass(slots=True, kw_only=True)
class ExchangeBodies:
    """The bodies of one exchange as they went over the wire. `short` says that more was sent than is here."""

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
    """What can be read: the last text that the model was given, its answer's text, the names of the tools it called."""

    asked: str | None
    answered: str | None
    calls: tuple[str, ...]


def preview(talk: ExchangeBodies) -> Preview:
    """The conversation of `talk`, as far as it can be read."""
    request = _clean([talk.request], talk.request_encoding, talk.secrets, short=False)
    response = _clean(talk.response, talk.response_encoding, talk.secrets, short=talk.short)
    asked = None if request is None else _last_turn(talk.dialect.readers.request_text(request))
    if not response:
        return Preview(asked, None, ())
    if talk.framing is not None:
        watch = talk.dialect.readers.watch(text=True)
        watch.feed(response)
        answered = watch.close().text
        splitter = talk.framing.splitter()
        values = [read_value(frame.data) for frame in (*splitter.feed(response), *splitter.flush())]
    else:
        answered = talk.dialect.readers.summarize(response, text=True).text
        values = [read_value(response)]
    calls: dict[str, str] = {}
    for value in values:
        for place, name in _calls(value):
            calls.setdefault(place, name)
    return Preview(asked, answered or None, tuple(calls.values()))


def _clean(parts: list[bytes], encoding: str, secrets: tuple[str, ...], *, short: bool) -> bytes | None:
    """The body without its coding and without secrets; None when it is too long to be read."""
    decoded, cut = decode_parts(parts, encoding, READ_BYTES)
    data = b"".join(decoded)
    if cut or len(data) > READ_BYTES:
        return None
    return mask_parts([data], forms_of(secrets), whole=not short)[0]


def _last_turn(text: str | None) -> str | None:
    """The last thing that a conversation says and the model did not. What is no conversation is all of it asked."""
    if text is None:
        return None
    turns = list(_TURN.finditer(text))
    if not turns:
        return text or None
    ends = [*(turn.start() for turn in turns[1:]), len(text)]
    for turn, end in zip(reversed(turns), reversed(ends), strict=True):
        said = text[turn.end() : end].strip()
        if said and turn[1] in _ASKING:
            return said
    return None


def _calls(value: Any, place: str = "", depth: int = _DEEPEST) -> Iterator[tuple[str, str]]:
    """The calls of tools in a reply or an event: what tells one from another, and the tool's name."""
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
            if member != _OFFERED:
                yield from _calls(each, f"{place}/{member}", depth - 1)
