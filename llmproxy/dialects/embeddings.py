"""The embeddings dialect: no conversation and no stream, only a count of tokens.

Source: platform.openai.com/docs/api-reference/embeddings.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from llmproxy.dialects.dialect import Canned, Dialect, Readers
from llmproxy.dialects.error_body import write_error, write_error_event
from llmproxy.dialects.lenient_json import Fields, Other, count, error_message, string
from llmproxy.dialects.model import Usage
from llmproxy.dialects.reshape import Reshape, read_object
from llmproxy.dialects.stream_watch import FrameWatch
from llmproxy.dialects.summary import Summary
from llmproxy.errors import BadRequest
from llmproxy.wire.framing import Frame
from llmproxy.wire.json import read_as, read_members, read_value, write_value

VECTOR_LENGTH = 8
_LONGEST_VECTOR = 4096


class _Usage(Fields):
    prompt_tokens: Any = None


class _Reply(Fields):
    model: Any = None
    usage: _Usage | Other = None
    error: Any = None


_REPLY: msgspec.json.Decoder[_Reply] = msgspec.json.Decoder(_Reply)


class _NoWatch(FrameWatch):
    """Embeddings are not streamed: whatever arrives as a stream says nothing."""

    __slots__ = ()

    def _notable(self, data: bytes) -> bool:
        return False

    def _read(self, frame: Frame) -> None:
        return


class _Reshape(Reshape):
    def is_deterministic(self, request: Mapping[str, Any]) -> bool:
        return True

    def says_something(self, reply: bytes) -> bool:
        return bool((read_object(reply) or {}).get("data"))


def read_text(body: bytes) -> str | None:
    """Return the texts of a request, a line each; None when it has none."""
    texts = [each for each in _inputs(body) if isinstance(each, str)]
    return "\n".join(texts) if texts else None


def summarize(body: bytes, *, text: bool = False) -> Summary:
    """Read usage and error of an answer."""
    reply = read_as(_REPLY, body)
    if reply is None:
        return Summary()
    error = error_message(reply.error)
    usage = Usage(input=count(reply.usage.prompt_tokens)) if isinstance(reply.usage, _Usage) else None
    return Summary(model=string(reply.model), usage=usage, error=error, complete=error is None)


def _no_stream(canned: Canned) -> Sequence[bytes]:
    raise BadRequest("Embeddings are not streamed; leave 'stream' out", param="stream")


def write_vectors(canned: Canned, request: bytes) -> bytes:
    """A reply with a vector for each input of `request`: the same for the same text, of length 1.

    `dimensions` and `encoding_format` of the request are honoured; official clients ask for base64.
    """
    members = read_members(request)
    asked = count(read_value(members["dimensions"])) if "dimensions" in members else None
    length = min(asked or VECTOR_LENGTH, _LONGEST_VECTOR)
    packed = "encoding_format" in members and read_value(members["encoding_format"]) == "base64"
    vectors = [_vector(each, length) for each in _inputs(request)]
    data = [
        {"object": "embedding", "index": index, "embedding": _pack(vector) if packed else vector}
        for index, vector in enumerate(vectors)
    ]
    tokens = canned.usage.input
    usage = None if tokens is None else {"prompt_tokens": tokens, "total_tokens": tokens}
    return write_value({"object": "list", "data": data, "model": canned.model, "usage": usage})


def _inputs(request: bytes) -> list[object]:
    """Each text, or list of token numbers, of a request; a single one counts as a list of one."""
    members = read_members(request)
    given = read_value(members["input"]) if "input" in members else None
    if isinstance(given, list) and not (given and all(isinstance(each, int) for each in given)):
        return given
    return [] if given is None else [given]


def _vector(given: object, length: int) -> list[float]:
    seed = hashlib.shake_128(write_value(given)).digest(length)
    numbers = [byte - 127.5 for byte in seed]
    norm: float = sum(number * number for number in numbers) ** 0.5
    return [number / norm for number in numbers]


def _pack(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


DIALECT = Dialect(
    name="embeddings",
    paths=("/embeddings",),
    significant=("openai-beta", "openai-organization", "openai-project"),
    key_variable="OPENAI_API_KEY",
    write_error=write_error,
    write_error_event=write_error_event,
    readers=Readers(summarize=summarize, watch=_NoWatch, request_text=read_text),
    reshape=_Reshape(),
    write_reply=lambda canned: write_vectors(canned, write_value({"input": "".join(canned.pieces)})),
    write_stream=_no_stream,
)
