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

from llmproxy.dialects.base import Canned, Dialect, Summary, Usage, Watch
from llmproxy.dialects.error_body import error_object, write_error_object
from llmproxy.dialects.lenient_json import Fields, Other, count, error_message, string
from llmproxy.dialects.reshape import Replay, read_object
from llmproxy.dialects.stream_watch import FrameWatch
from llmproxy.errors import BadRequest, ProxyError
from llmproxy.wire.framing import Frame
from llmproxy.wire.json import read_as, read_members, read_value, write_value
from llmproxy.wire.sse import write_frame

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


class _Replay(Replay):
    def is_deterministic(self, request: Mapping[str, Any]) -> bool:
        return True

    def says_something(self, reply: bytes) -> bool:
        return bool((read_object(reply) or {}).get("data"))


class Embeddings(Dialect):
    """`POST /embeddings`."""

    name = "embeddings"
    paths = ("/embeddings",)
    replay = _Replay()
    significant = ("openai-beta", "openai-organization", "openai-project")

    def read_request_text(self, body: bytes) -> str | None:
        texts = [each for each in _inputs(body) if isinstance(each, str)]
        return "\n".join(texts) if texts else None

    def read_reply(self, body: bytes, *, text: bool = False) -> Summary:
        reply = read_as(_REPLY, body)
        if reply is None:
            return Summary()
        error = error_message(reply.error)
        usage = Usage(input=count(reply.usage.prompt_tokens)) if isinstance(reply.usage, _Usage) else None
        return Summary(model=string(reply.model), usage=usage, error=error, complete=error is None)

    def watch(self, *, text: bool = False) -> Watch:
        return _NoWatch(text=text)

    def write_error(self, error: ProxyError, request_id: str) -> bytes:
        return write_error_object(error)

    def write_error_event(self, error: ProxyError, request_id: str) -> bytes:
        return write_frame(write_value({"error": error_object(error)}))

    def write_reply(self, canned: Canned) -> bytes:
        return write_vectors(canned, write_value({"input": "".join(canned.pieces)}))

    def write_stream(self, canned: Canned) -> Sequence[bytes]:
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


DIALECT = Embeddings()
