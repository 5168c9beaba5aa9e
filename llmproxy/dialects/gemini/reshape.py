"""Answers in the other form: the chunks of a stream joined into one, and a whole answer as the only chunk of a stream.

Source: `google.genai.types.GenerateContentResponse`; a chunk has the members of a whole answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmproxy.dialects.gemini.partial_calls import PartialCalls
from llmproxy.dialects.gemini.proto_members import ProtoMembers
from llmproxy.dialects.gemini.stream_decode import EitherSplitter
from llmproxy.dialects.lenient_json import object_of, objects
from llmproxy.dialects.reshape import JsonObject, Reshape, read_object
from llmproxy.errors import BrokenStream, ProxyError
from llmproxy.wire.json import write_value
from llmproxy.wire.sse import write_frame

_TEXT = frozenset({"text", "thought", "thoughtSignature"})


class GeminiReshape(Reshape):
    """`:generateContent` and `:streamGenerateContent`."""

    stream_fields = ()

    def is_deterministic(self, request: Mapping[str, Any]) -> bool:
        try:
            config = ProtoMembers(dict(request)).inner("generationConfig")
        except ProxyError:
            return False
        return config is not None and super().is_deterministic(config.rest)

    def names_stored(self, request: Mapping[str, Any]) -> bool:
        return not {"cachedContent", "cached_content", "continuationToken", "continuation_token"}.isdisjoint(request)

    def says_something(self, reply: bytes) -> bool:
        candidates = objects((read_object(reply) or {}).get("candidates"))
        return any(part for each in candidates for part in objects(object_of(each.get("content")).get("parts")))

    def is_whole(self, stream: bytes) -> bool:
        try:
            chunks = _chunks(stream)
        except ValueError:
            return False
        return any(each.get("finishReason") for chunk in chunks for each in objects(chunk.get("candidates")))

    def _to_stream(self, reply: JsonObject, usage: bool) -> bytes | None:
        return write_frame(write_value(reply)) if isinstance(reply.get("candidates"), list) else None

    def _to_reply(self, stream: bytes) -> bytes | None:
        whole: JsonObject = {}
        candidates: dict[int, JsonObject] = {}
        calls: dict[int, PartialCalls] = {}
        for chunk in _chunks(stream):
            for candidate in objects(chunk.pop("candidates", None)):
                index = candidate.get("index") or 0
                partial = calls.setdefault(index, PartialCalls())
                try:
                    _add(candidates.setdefault(index, {}), candidate, partial)
                except ProxyError:
                    return None
            whole |= chunk
        if not any(each.get("finishReason") for each in candidates.values()):
            return None
        return write_value({"candidates": [candidates[index] for index in sorted(candidates)], **whole})


def _chunks(stream: bytes) -> list[JsonObject]:
    """Return the chunks of a whole stream. Raises ValueError for other frames, and for half an array."""
    splitter = EitherSplitter()
    try:
        frames = [*splitter.feed(stream), *splitter.flush()]
    except BrokenStream as error:
        raise ValueError(error.message) from error
    chunks = [read_object(frame.data) for frame in frames]
    found = [chunk for chunk in chunks if chunk is not None and "error" not in chunk]
    if len(found) < len(chunks):
        raise ValueError("a chunk that is not an answer")
    return found


def _add(whole: JsonObject, candidate: JsonObject, calls: PartialCalls) -> None:
    """Add one chunk of a candidate to what came before."""
    content = candidate.pop("content", None)
    if isinstance(content, dict):
        parts = whole.setdefault("content", {"parts": []})["parts"]
        joined = calls.join(content.pop("parts", None) or ())
        for part in [*joined, *calls.rest()] if candidate.get("finishReason") else joined:
            _add_part(parts, part)
        whole["content"] |= content
    whole |= candidate


def _add_part(parts: list[JsonObject], part: JsonObject) -> None:
    """Add a part; a text joins the one before it, if both or neither are thoughts."""
    last = parts[-1] if parts else None
    if (
        last is not None
        and _is_text(last)
        and _is_text(part)
        and bool(last.get("thought")) == bool(part.get("thought"))
    ):
        parts[-1] = {**last, **part, "text": last["text"] + part["text"]}
    elif part != {"text": ""}:
        parts.append(part)


def _is_text(part: JsonObject) -> bool:
    return isinstance(part.get("text"), str) and part.keys() <= _TEXT


RESHAPE = GeminiReshape()
