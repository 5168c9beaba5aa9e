"""A conversation in short: the last question, the answer, and the tools called; without secrets.

Bodies are decoded and masked as in traces, which takes time: call `preview` in a thread. Parts that cannot be read are
left out. Begin reading at `preview`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from llmproxy.dialects.derived import neutral_reply, neutral_request, reply_text
from llmproxy.dialects.dialect import Dialect
from llmproxy.dialects.model import Block, Opaque, Reply, Request, Text, ToolCall, ToolResult
from llmproxy.records.record_body import decompress_parts
from llmproxy.redaction.masking import mask_parts
from llmproxy.redaction.secrets import forms_of
from llmproxy.wire.framing import Framing

# Reading a conversation of this size takes some 10 ms, during which no other thread runs.
PREVIEW_BYTES = 2 * 1024 * 1024

# Elements of agents stand on lines of their own and have names of several words: <system-reminder>,
# <environment_context>, <local-command-stdout>, <permissions instructions>. A few of them hold what the person wrote.
_WORDS = r"(?:user[-_](?:query|message|request|prompt|input)|command-(?:name|args)|task|feedback|answer)"
# Some names are an agent's wherever they stand.
_AGENT = r"system[-_ ]reminder|environment[-_](?:context|details)|local-command-[a-z]{1,20}|ide_[a-z_]{1,40}"
_REST = r"(?: [^<>]{0,300})?>"
_CONTEXT = re.compile(
    rf"<({_AGENT}){_REST}|^[ \t]{{0,20}}<(?!{_WORDS}[ >])([a-z]+[-_ ][a-z_ -]{{0,60}}){_REST}",
    re.IGNORECASE | re.MULTILINE,
)
_MOST_ELEMENTS = 100
_WRAPPER = re.compile(rf"^[ \t]*<{_WORDS}>|</{_WORDS}>[ \t]*$", re.IGNORECASE | re.MULTILINE)
_PROJECT_INSTRUCTIONS = re.compile(r"\s*# AGENTS\.md instructions\b")


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
    """Return the last text of a conversation that is not the model's, as far as a person or a tool wrote it; where
    programs wrote all of it, the last text of theirs."""
    fallback = None
    for message in reversed(request.messages if request is not None else ()):
        if message.role == "user":
            texts = [text for each in _texts(message.content) if (text := each.strip())]
            if written := "\n".join(filter(None, map(strip_context, texts))):
                return written
            fallback = fallback or "\n".join(texts)
    return fallback or None


def strip_context(text: str) -> str:
    """Return what a person wrote in a text, without what coding agents put around it: reminders, the environment, open
    files, instructions of the project."""
    if "<" not in text:
        return text.strip()
    if _PROJECT_INSTRUCTIONS.match(text):
        return ""
    return _WRAPPER.sub(" ", "".join(_without_context(text))).strip()


def _without_context(text: str) -> Iterator[str]:
    """Yield the parts of a text that stand between elements of agents. An expression for whole elements would take
    minutes for a text full of tags that are not closed."""
    start = 0
    for tag in islice(_CONTEXT.finditer(text), _MOST_ELEMENTS):
        closing = f"</{tag[1] or tag[2]}>"
        end = text.find(closing, tag.end()) if tag.start() >= start else -1
        if end < 0:
            continue
        end += len(closing)
        line_end = text.find("\n", end)
        line_end = len(text) if line_end < 0 else line_end
        alone = not text[end:line_end].strip()
        if alone or tag[1]:
            yield text[start : tag.start()]
            start = line_end + 1 if alone else end
    yield text[start:]


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
    text = dialect.readers.request_text(request) if request else None
    return (strip_context(text) or text) if text else None


def _plain_answer(bodies: ExchangeBodies, response: bytes | None) -> str | None:
    if not response:
        return None
    readers = bodies.dialect.readers
    if bodies.framing is None:
        return readers.summarize(response, text=True).text or None
    watch = readers.watch(text=True)
    watch.feed(response)
    return watch.close().text or None
