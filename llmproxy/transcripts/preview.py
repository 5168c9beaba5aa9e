"""A conversation in short: the last question, the answer, and the tools called; without secrets.

Bodies are decoded and masked as in traces, which takes time: call `preview` in a thread. Parts that cannot be read are
left out. Begin reading at `preview`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from llmproxy.dialects.derived import neutral_reply, neutral_request, reply_text
from llmproxy.dialects.dialect import Dialect
from llmproxy.dialects.model import Block, Opaque, Reply, Request, Text, ToolCall, ToolResult
from llmproxy.records.record_body import decompress_parts
from llmproxy.redaction.masking import mask_parts
from llmproxy.redaction.secrets import forms_of
from llmproxy.wire.framing import Framing

# Reading a conversation of this size takes some 10 ms, during which no other thread runs.
PREVIEW_BYTES = 2 * 1024 * 1024


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
    codec = bodies.dialect.codec
    if codec is None:
        return Preview(_plain_question(bodies.dialect, request), _plain_answer(bodies, response), ())
    neutral = None if request is None else neutral_request(codec, request)
    reply = neutral_reply(codec, response, stream=bodies.framing is not None) if response else None
    if reply is None:
        return Preview(_question(neutral), None, ())
    return Preview(_question(neutral), reply_text(reply) or None, tuple(_calls(reply)))


def _clean(parts: list[bytes], encoding: str, secrets: tuple[str, ...], *, short: bool) -> bytes | None:
    """Return the body without its coding and secrets; None when it is too long to be read."""
    decoded, cut = decompress_parts(parts, encoding, PREVIEW_BYTES)
    data = b"".join(decoded)
    if cut or len(data) > PREVIEW_BYTES:
        return None
    return mask_parts([data], forms_of(secrets), whole=not short)[0]


def _question(request: Request | None) -> str | None:
    """Return the last text of a conversation that is not the model's."""
    for message in reversed(request.messages if request is not None else ()):
        if message.role == "user":
            text = "".join(_texts(message.content)).strip()
            if text:
                return text
    return None


def _texts(content: Sequence[Block]) -> Iterator[str]:
    for block in content:
        if isinstance(block, ToolResult):
            yield from _texts(block.content)
        elif isinstance(block, Text):
            yield block.text


def _calls(reply: Reply) -> Iterator[str]:
    """Yield the names of the tools that an answer calls, of the provider's own tools too."""
    for block in reply.content:
        if isinstance(block, ToolCall):
            yield block.name
        elif isinstance(block, Opaque) and isinstance(name := block.value.get("name"), str):
            yield name


def _plain_question(dialect: Dialect, request: bytes | None) -> str | None:
    return (dialect.readers.request_text(request) or None) if request else None


def _plain_answer(bodies: ExchangeBodies, response: bytes | None) -> str | None:
    if not response:
        return None
    readers = bodies.dialect.readers
    if bodies.framing is None:
        return readers.summarize(response, text=True).text or None
    watch = readers.watch(text=True)
    watch.feed(response)
    return watch.close().text or None
