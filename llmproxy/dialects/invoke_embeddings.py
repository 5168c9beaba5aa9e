"""Embeddings by Bedrock's InvokeModel: Amazon's Titan models and Cohere's.

Sources: docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text, -embed-v3 and -embed-v4. The
number of tokens stands in a header of every answer. Begin reading at `find_invoked`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from llmproxy.dialects.dialect import Summarize
from llmproxy.dialects.embedding_codec import (
    EmbeddingCodec,
    EmbeddingReply,
    EmbeddingRequest,
    Purpose,
    purpose_of,
    vector,
    whole_number,
)
from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.members import Members
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage
from llmproxy.errors import Untranslatable
from llmproxy.wire.json import read_value

_COUNT = b'"inputTextTokenCount"'
CALL = "/model/{model}/invoke"
_MOST_TEXTS = 96  # of Cohere, a call
_PURPOSES: Mapping[str, Purpose] = {
    "search_query": "query",
    "search_document": "document",
    "classification": "classification",
    "clustering": "clustering",
}
_WORDS = {purpose: word for word, purpose in _PURPOSES.items()}


def _check_types(types: list[Any] | None, path: str) -> bool:
    """Return whether a client names the types of its vectors. Raises Untranslatable for others than `float`."""
    for each in types or ():
        if each != "float":
            raise Untranslatable(f"{path}: this model's provider has vectors of type float only", param=path)
    return bool(types)


def decode_titan(body: dict[str, Any]) -> EmbeddingRequest:
    """Read a client's request for a Titan model: one text."""
    members = Members(body)
    text = members.needed_text("inputText")
    by_type = _check_types(members.items("embeddingTypes"), "embeddingTypes")
    normalize = members.flag("normalize")
    return EmbeddingRequest(
        inputs=[text],
        place="inputText",
        dimensions=members.whole("dimensions"),
        by_type=by_type,
        paths={"dimensions": "dimensions"},
        other=(*(("normalize",) if normalize is False else ()), *members.left()),
    )


def encode_titan(request: EmbeddingRequest, model: str, losses: Losses) -> dict[str, Any]:
    """Write a request for the first Titan model, which has no settings."""
    request.drop_unless((), losses)
    return {"inputText": request.inputs[0]}


def encode_titan_2(request: EmbeddingRequest, model: str, losses: Losses) -> dict[str, Any]:
    """Write a request for the second Titan model."""
    request.drop_unless(("dimensions",), losses)
    body: dict[str, Any] = {"inputText": request.inputs[0]}
    return body if request.dimensions is None else body | {"dimensions": request.dimensions}


def decode_titan_reply(body: Any) -> EmbeddingReply:
    """Read a reply of a Titan model."""
    numbers = body["embedding"] if "embedding" in body else body["embeddingsByType"]["float"]
    return EmbeddingReply(vectors=[vector(numbers)], tokens=whole_number(body.get("inputTextTokenCount")))


def encode_titan_reply(reply: EmbeddingReply, request: EmbeddingRequest, model: str) -> dict[str, Any]:
    """Write the reply of a Titan model."""
    body = {"embedding": reply.vectors[0], "inputTextTokenCount": reply.tokens}
    return body | ({"embeddingsByType": {"float": reply.vectors[0]}} if request.by_type else {})


def decode_cohere(body: dict[str, Any]) -> EmbeddingRequest:
    """Read a client's request for a model of Cohere. Raises Untranslatable for images."""
    members = Members(body)
    for name in ("images", "inputs"):
        if members.items(name):
            raise Untranslatable(f"{name}: this model's provider embeds texts only", param=name)
    texts = members.items("texts")
    if texts is None:
        members.missing("texts")
    by_type = _check_types(members.items("embedding_types"), "embedding_types")
    for index, each in enumerate(texts):
        if not isinstance(each, str):
            raise Untranslatable(f"texts[{index}] must be a string", param=f"texts[{index}]")
    truncate = members.text("truncate")
    return EmbeddingRequest(
        inputs=texts,
        place="texts[{}]",
        purpose=purpose_of(members.text("input_type"), _PURPOSES, "input_type"),
        dimensions=members.whole("output_dimension"),
        truncate=None if truncate is None else truncate != "NONE",
        by_type=by_type,
        paths={"purpose": "input_type", "dimensions": "output_dimension", "truncate": "truncate"},
        other=tuple(members.left()),
    )


def _encode_cohere(
    request: EmbeddingRequest, model: str, losses: Losses, *, kept: tuple[str, ...], cut: str
) -> dict[str, Any]:
    """Write a request. The purpose is required: texts are documents where a client does not say, or has another one."""
    word = _WORDS.get(request.purpose) if request.purpose else None
    request.drop_unless((*kept, *(("purpose",) if word else ())), losses)
    body: dict[str, Any] = {"texts": list(request.inputs), "input_type": word or "search_document"}
    if request.truncate is not None:
        body["truncate"] = cut if request.truncate else "NONE"
    if request.dimensions is not None and "dimensions" in kept:
        body |= {"output_dimension": request.dimensions, "embedding_types": ["float"]}
    return body


def decode_cohere_reply(body: Any) -> EmbeddingReply:
    """Read a reply of Cohere, in which the vectors may stand below their type."""
    embeddings = body["embeddings"]
    vectors = embeddings["float"] if isinstance(embeddings, dict) else embeddings
    return EmbeddingReply(vectors=[vector(each) for each in vectors])


def encode_cohere_reply(reply: EmbeddingReply, request: EmbeddingRequest, model: str) -> dict[str, Any]:
    """Write the reply of a model of Cohere."""
    by_type = request.by_type
    return {
        "id": "",
        "texts": list(request.inputs),
        "embeddings": {"float": reply.vectors} if by_type else reply.vectors,
        "response_type": "embeddings_by_type" if by_type else "embeddings_floats",
    }


_codec: Callable[..., EmbeddingCodec] = partial(
    EmbeddingCodec, call=CALL, dialect="invoke", tokens_header="X-Amzn-Bedrock-Input-Token-Count"
)
_titan = partial(
    _codec,
    decode_request=decode_titan,
    decode_reply=decode_titan_reply,
    encode_reply=encode_titan_reply,
    most_inputs=1,
)
_cohere = partial(
    _codec,
    decode_request=decode_cohere,
    decode_reply=decode_cohere_reply,
    encode_reply=encode_cohere_reply,
    most_inputs=_MOST_TEXTS,
)
TITAN = _titan(name="titan", encode_request=encode_titan)
TITAN_2 = _titan(name="titan-2", encode_request=encode_titan_2)
COHERE = _cohere(name="cohere", encode_request=partial(_encode_cohere, kept=("truncate",), cut="END"))
COHERE_4 = _cohere(
    name="cohere-4", encode_request=partial(_encode_cohere, kept=("truncate", "dimensions"), cut="RIGHT")
)
INVOKE_EMBEDDINGS = (TITAN, TITAN_2, COHERE, COHERE_4)


def find_invoked(body: Mapping[str, Any]) -> EmbeddingCodec | None:
    """Return the form of a client's request; None where it asks a model for something else."""
    if "inputText" in body and "textGenerationConfig" not in body:
        return TITAN_2
    return COHERE_4 if "input_type" in body and not {"texts", "images", "inputs"}.isdisjoint(body) else None


def counting(summarize: Summarize) -> Summarize:
    """Return what reads answers of InvokeModel: those of Titan models say how many tokens they counted, all others are
    read by `summarize`."""

    def read(body: bytes, *, text: bool = False) -> Summary:
        if _COUNT not in body:
            return summarize(body, text=text)
        value = read_value(body)
        tokens = whole_number(value.get("inputTextTokenCount")) if isinstance(value, dict) else None
        return Summary(usage=Usage(input=tokens), complete=True)

    return read
