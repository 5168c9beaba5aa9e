"""The embeddings dialect: no conversation and no stream, only vectors and a count of tokens.

Source: platform.openai.com/docs/api-reference/embeddings. `input_type` and `task_type` are what services that imitate
it have for the purpose. Begin reading at `EMBEDDINGS_CODEC`.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Mapping
from typing import Any

import msgspec

from llmproxy.dialects.call_form import deployment_form
from llmproxy.dialects.dialect import Dialect, Readers, Schemas
from llmproxy.dialects.embedding_codec import (
    MOST_INPUTS,
    EmbeddingCodec,
    EmbeddingInput,
    EmbeddingReply,
    EmbeddingRequest,
    Purpose,
    purpose_of,
    vector,
    whole_number,
)
from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.error_body import write_error, write_error_event
from llmproxy.dialects.lenient_json import Fields, Other, count, error_message, string
from llmproxy.dialects.members import Members, name_of, wrong
from llmproxy.dialects.reshape import Reshape, read_object
from llmproxy.dialects.stream_watch import FrameWatch
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage
from llmproxy.wire.framing import Frame
from llmproxy.wire.json import read_as, read_members, read_value


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
    texts = [each for each in read_inputs(body) if isinstance(each, str)]
    return "\n".join(texts) if texts else None


def summarize(body: bytes, *, text: bool = False) -> Summary:
    """Read usage and error of an answer."""
    reply = read_as(_REPLY, body)
    if reply is None:
        return Summary()
    error = error_message(reply.error)
    usage = Usage(input=count(reply.usage.prompt_tokens)) if isinstance(reply.usage, _Usage) else None
    return Summary(model=string(reply.model), usage=usage, error=error, complete=error is None)


def read_inputs(request: bytes) -> list[object]:
    """Return each text, or list of token numbers, of a request; a single one counts as a list of one."""
    members = read_members(request)
    value = read_value(members["input"]) if "input" in members else None
    if isinstance(value, list) and not (value and all(isinstance(each, int) for each in value)):
        return value
    return [] if value is None else [value]


_PURPOSES: Mapping[str, Purpose] = {
    "query": "query",
    "document": "document",
    "passage": "document",
    "search_query": "query",
    "search_document": "document",
    "retrieval_query": "query",
    "retrieval_document": "document",
    "classification": "classification",
    "clustering": "clustering",
    "semantic_similarity": "similarity",
    "question_answering": "answering",
    "fact_verification": "verification",
    "code_retrieval_query": "code_query",
}


def _decode_request(body: dict[str, Any]) -> EmbeddingRequest:
    """Read a client's request; `model` is known already."""
    members = Members(body)
    members.any("model")
    value = members.any("input")
    if value is None:
        members.missing("input")
    single = isinstance(value, str) or (isinstance(value, list) and bool(value) and type(value[0]) is int)
    inputs = [value] if single else value
    if not isinstance(inputs, list):
        wrong("input", f"must be a string or an array, not {name_of(value)}")
    place = "input" if single else "input[{}]"
    for index, each in enumerate(inputs):
        _check_input(each, place.format(index))
    named = "input_type" if body.get("input_type") is not None else "task_type"
    packed = members.word("encoding_format", ("float", "base64")) == "base64"
    request = EmbeddingRequest(
        inputs=inputs,
        place=place,
        dimensions=members.whole("dimensions"),
        purpose=purpose_of(members.text(named), _PURPOSES, named),
        user=members.text("user"),
        packed=packed,
        paths={"dimensions": "dimensions", "purpose": named, "user": "user"},
    )
    request.other = tuple(members.left())
    return request


def _check_input(value: object, path: str) -> None:
    if isinstance(value, str):
        return
    if not isinstance(value, list) or not all(type(each) is int and each >= 0 for each in value):
        wrong(path, "must be a string or an array of token numbers")


def _encode_request(request: EmbeddingRequest, model: str, losses: Losses) -> dict[str, Any]:
    """Write the request for a provider; vectors as numbers, since they may be joined with others."""
    request.drop_unless(("dimensions", "user"), losses)
    inputs: list[EmbeddingInput] = list(request.inputs)
    body: dict[str, Any] = {"model": model, "input": inputs, "encoding_format": "float"}
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    if request.user is not None:
        body["user"] = request.user
    return body


def decode_reply(body: Any) -> EmbeddingReply:
    """Read a provider's reply, the vectors in the order of their `index`; where all have the same, as they came. Raises
    ValueError where it is not clear whose vector is whose."""
    data, usage = body["data"], body.get("usage")
    indexed = [(each.get("index", place), _vector(each["embedding"])) for place, each in enumerate(data)]
    indices = [index for index, _ in indexed]
    if sorted(indices) != list(range(len(indices))) and any(index != indices[0] for index in indices):
        raise ValueError("the answer has vectors whose places are not known")
    tokens = whole_number(usage.get("prompt_tokens")) if isinstance(usage, dict) else None
    vectors = [each for _, each in sorted(indexed, key=lambda pair: pair[0])]
    return EmbeddingReply(vectors=vectors, tokens=tokens, model=string(body.get("model")))


def _vector(value: object) -> list[float]:
    """Return a vector; some services pack it though numbers were asked for."""
    if not isinstance(value, str):
        return vector(value)
    try:
        packed = base64.b64decode(value)
        return list(struct.unpack(f"<{len(packed) // 4}f", packed))
    except (binascii.Error, struct.error) as error:
        raise ValueError("the answer has a vector that cannot be unpacked") from error


def encode_reply(reply: EmbeddingReply, request: EmbeddingRequest, model: str) -> dict[str, Any]:
    """Write the reply; its counts are null where the provider did not count."""
    vectors = map(pack_vector, reply.vectors) if request.packed else reply.vectors
    data = [{"object": "embedding", "index": index, "embedding": each} for index, each in enumerate(vectors)]
    usage = {"prompt_tokens": reply.tokens, "total_tokens": reply.tokens}
    return {"object": "list", "data": data, "model": reply.model or model, "usage": usage}


def pack_vector(numbers: list[float]) -> str:
    """Return a vector in base64, each number as 4 bytes, the lowest first."""
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


EMBEDDINGS_CODEC = EmbeddingCodec(
    name="embeddings",
    call="/embeddings",
    dialect="embeddings",
    decode_request=_decode_request,
    encode_request=_encode_request,
    decode_reply=decode_reply,
    encode_reply=encode_reply,
    most_inputs=MOST_INPUTS,
    takes_tokens=True,
)


def _find(body: Mapping[str, Any]) -> EmbeddingCodec:
    """Return the form of a client's request: there is one."""
    return EMBEDDINGS_CODEC


DIALECT = Dialect(
    name="embeddings",
    paths=("/embeddings",),
    forms=(deployment_form("/embeddings"),),
    significant=("openai-beta", "openai-organization", "openai-project"),
    key_variable="OPENAI_API_KEY",
    schemas=Schemas(example={"input": "Hello"}),
    write_error=write_error,
    write_error_event=write_error_event,
    readers=Readers(summarize=summarize, watch=_NoWatch, request_text=read_text),
    reshape=_Reshape(),
    embeddings={EMBEDDINGS_CODEC.call: _find},
    embedding_codecs=(EMBEDDINGS_CODEC,),
)
