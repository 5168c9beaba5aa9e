"""Embeddings of Google: embedContent and batchEmbedContents at the Gemini API, the same and predict at Vertex.

At Vertex the settings stand in `embedContentConfig`, or for predict beside each text and in `parameters`. Sources:
ai.google.dev/api/embeddings, cloud.google.com/vertex-ai/docs/reference/rest (text embeddings), and google-genai 3.6
(`models.embed_content`, which calls them all). Begin reading at `find_single`, `find_batch` and `find_predict`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from llmproxy.dialects.embedding_codec import (
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
from llmproxy.dialects.gemini.proto_members import ProtoMembers
from llmproxy.dialects.members import Members, wrong
from llmproxy.errors import Untranslatable

SINGLE, BATCH, PREDICT = (
    "/models/{model}:embedContent",
    "/models/{model}:batchEmbedContents",
    "/models/{model}:predict",
)
_MOST_IN_BATCH = 100  # "at most 100 requests can be in one batch"
_MOST_INSTANCES = 250  # of predict
_PURPOSES: Mapping[str, Purpose] = {
    "retrieval_query": "query",
    "retrieval_document": "document",
    "semantic_similarity": "similarity",
    "classification": "classification",
    "clustering": "clustering",
    "question_answering": "answering",
    "fact_verification": "verification",
    "code_retrieval_query": "code_query",
}
_WORDS = {purpose: word.upper() for word, purpose in _PURPOSES.items()}
_UNSPECIFIED = "TASK_TYPE_UNSPECIFIED"
_KEPT = ("dimensions", "purpose", "title")
_KEPT_AT_VERTEX = (*_KEPT, "truncate")


def _settings(members: Members, config: Members | None) -> dict[str, Any]:
    """Take what stands beside a text, or in its `config`, as arguments of a neutral request."""
    at = members if config is None else config
    word = at.text("taskType")
    purpose = None if word == _UNSPECIFIED else purpose_of(word, _PURPOSES, at.at("taskType"))
    names = {
        "dimensions": "outputDimensionality",
        "purpose": "taskType",
        "title": "title",
        "truncate": "autoTruncate",
    }
    return {
        "purpose": purpose,
        "dimensions": at.whole("outputDimensionality"),
        "title": at.text("title"),
        "truncate": at.flag("autoTruncate"),
        "paths": {name: at.at(member) for name, member in names.items()},
    }


def _text(content: object, path: str) -> str:
    """Return the words of a content: its parts, a line each. Raises Untranslatable for what is no text."""
    parts = ProtoMembers({"parts": content["parts"]} if isinstance(content, dict) and "parts" in content else {}, path)
    texts = []
    for part in parts.objects("parts"):
        text = part.text("text")
        if text is None:
            message = f"{part.path}: this model's provider embeds texts only"
            raise Untranslatable(message, param=part.path)
        texts.append(text)
    return "\n".join(texts)


def _inner(members: Members, name: str) -> Members | None:
    value = members.object(name)
    return None if value is None else ProtoMembers(value, members.at(name))


def _one(members: Members) -> EmbeddingRequest:
    """Read an EmbedContentRequest, the same alone and in a batch."""
    members.any("model")
    content = members.any("content")
    if content is None:
        members.missing("content")
    config = _inner(members, "embedContentConfig")
    place = members.at("content")
    settings = _settings(members, config)
    left = (*(members.at(name) for name in members.left()), *(() if config is None else map(config.at, config.left())))
    return EmbeddingRequest(inputs=[_text(content, place)], place=place, other=left, **settings)


def decode_single(body: dict[str, Any]) -> EmbeddingRequest:
    """Read a client's embedContent."""
    return _one(ProtoMembers(body))


def decode_batch(body: dict[str, Any]) -> EmbeddingRequest:
    """Read a client's batchEmbedContents. Raises Untranslatable where its requests have different settings."""
    members = ProtoMembers(body)
    requests = [_one(ProtoMembers(each.rest, each.path)) for each in members.objects("requests")]
    if not requests:
        wrong("requests", "is empty; send at least one request")
    first = requests[0]
    for each in requests[1:]:
        for name in ("purpose", "dimensions", "title", "truncate"):
            if getattr(each, name) != getattr(first, name):
                message = f"{each.paths[name]}: this model's provider takes one setting for the whole batch"
                raise Untranslatable(message, param=each.paths[name])
    first.inputs = [text for each in requests for text in each.inputs]
    first.place = "requests[{}].content"
    return first


def decode_predict(body: dict[str, Any]) -> EmbeddingRequest:
    """Read a client's predict with texts."""
    members = ProtoMembers(body)
    instances = [ProtoMembers(each.rest, each.path) for each in members.objects("instances")]
    texts = [each.needed_text("content") for each in instances]
    words = [(each.text("taskType"), each.text("title")) for each in instances]
    for each, pair in zip(instances, words, strict=True):
        if pair != words[0]:
            path = each.at("task_type")
            raise Untranslatable(f"{path}: this model's provider takes one setting for the whole batch", param=path)
    parameters = _inner(members, "parameters") or ProtoMembers({}, "parameters")
    return EmbeddingRequest(
        inputs=texts,
        place="instances[{}].content",
        purpose=purpose_of(words[0][0], _PURPOSES, "instances[0].task_type"),
        title=words[0][1],
        dimensions=parameters.whole("outputDimensionality"),
        truncate=parameters.flag("autoTruncate"),
        paths={
            "purpose": "instances[0].task_type",
            "title": "instances[0].title",
            "dimensions": "parameters.outputDimensionality",
            "truncate": "parameters.autoTruncate",
        },
        other=(*members.left(), *map(parameters.at, parameters.left())),
    )


def _written(request: EmbeddingRequest, *, truncate: bool) -> dict[str, Any]:
    """Return the settings of a request by Google's names."""
    settings = {
        "taskType": _WORDS[request.purpose] if request.purpose else None,
        "title": request.title,
        "outputDimensionality": request.dimensions,
        "autoTruncate": request.truncate if truncate else None,
    }
    return {name: value for name, value in settings.items() if value is not None}


def _content(text: object) -> dict[str, Any]:
    return {"parts": [{"text": text}]}


def encode_batch(request: EmbeddingRequest, model: str, losses: Losses) -> dict[str, Any]:
    """Write batchEmbedContents for the Gemini API, which names the model in each request too."""
    request.drop_unless(_KEPT, losses)
    settings = _written(request, truncate=False)
    name = f"models/{model.removeprefix('models/')}"
    return {"requests": [{"model": name, "content": _content(text), **settings} for text in request.inputs]}


def encode_batch_at_vertex(request: EmbeddingRequest, model: str, losses: Losses) -> dict[str, Any]:
    """Write batchEmbedContents for Vertex."""
    return {"requests": [encode_single_at_vertex(_with(request, text), model, losses) for text in request.inputs]}


def encode_single_at_vertex(request: EmbeddingRequest, model: str, losses: Losses) -> dict[str, Any]:
    """Write embedContent for Vertex."""
    request.drop_unless(_KEPT_AT_VERTEX, losses)
    settings = _written(request, truncate=True)
    body: dict[str, Any] = {"content": _content(request.inputs[0])}
    return body | ({"embedContentConfig": settings} if settings else {})


def encode_predict(request: EmbeddingRequest, model: str, losses: Losses) -> dict[str, Any]:
    """Write predict."""
    request.drop_unless(_KEPT_AT_VERTEX, losses)
    settings = _written(request, truncate=True)
    beside = {"task_type": settings.pop("taskType", None), "title": settings.pop("title", None)}
    beside = {name: value for name, value in beside.items() if value is not None}
    body: dict[str, Any] = {"instances": [{"content": text, **beside} for text in request.inputs]}
    return body | ({"parameters": settings} if settings else {})


def _with(request: EmbeddingRequest, text: EmbeddingInput) -> EmbeddingRequest:
    return replace(request, inputs=[text])


def _tokens(body: Mapping[str, Any]) -> int | None:
    usage = body.get("usageMetadata")
    return whole_number(usage.get("promptTokenCount")) if isinstance(usage, dict) else None


def decode_single_reply(body: Any) -> EmbeddingReply:
    """Read the reply to embedContent."""
    return EmbeddingReply(vectors=[vector(body["embedding"]["values"])], tokens=_tokens(body))


def decode_batch_reply(body: Any) -> EmbeddingReply:
    """Read the reply to batchEmbedContents."""
    embeddings, tokens = body["embeddings"], _tokens(body)
    counted = tokens if tokens is not None else _sum(each.get("statistics") for each in embeddings)
    return EmbeddingReply(vectors=[vector(each["values"]) for each in embeddings], tokens=counted)


def decode_predict_reply(body: Any) -> EmbeddingReply:
    """Read the reply to predict, in which each vector has its own count."""
    embeddings = [each["embeddings"] for each in body["predictions"]]
    counted = _sum(each.get("statistics") for each in embeddings)
    return EmbeddingReply(vectors=[vector(each["values"]) for each in embeddings], tokens=counted)


def _sum(statistics: Any) -> int | None:
    """Return the sum of the counts of all vectors; None where one is missing."""
    total = 0
    for each in statistics:
        counts = each if isinstance(each, dict) else {}
        count = whole_number(counts.get("token_count", counts.get("tokenCount")))
        if count is None:
            return None
        total += count
    return total


def _usage(reply: EmbeddingReply) -> dict[str, Any]:
    return {} if reply.tokens is None else {"usageMetadata": {"promptTokenCount": reply.tokens}}


def encode_single_reply(reply: EmbeddingReply, request: EmbeddingRequest, model: str) -> dict[str, Any]:
    """Write the reply to embedContent."""
    return {"embedding": {"values": reply.vectors[0]}, **_usage(reply)}


def encode_batch_reply(reply: EmbeddingReply, request: EmbeddingRequest, model: str) -> dict[str, Any]:
    """Write the reply to batchEmbedContents."""
    return {"embeddings": [{"values": each} for each in reply.vectors], **_usage(reply)}


def encode_predict_reply(reply: EmbeddingReply, request: EmbeddingRequest, model: str) -> dict[str, Any]:
    """Write the reply to predict; the count of one vector is known where there is only one."""
    alone = len(reply.vectors) == 1 and reply.tokens is not None
    statistics = {"truncated": False, **({"token_count": reply.tokens} if alone else {})}
    return {"predictions": [{"embeddings": {"values": each, "statistics": statistics}} for each in reply.vectors]}


_codec: Callable[..., EmbeddingCodec] = partial(
    EmbeddingCodec, dialect="gemini", key_header="x-goog-api-key", key_scheme=""
)
_single = partial(
    _codec,
    call=SINGLE,
    decode_request=decode_single,
    decode_reply=decode_single_reply,
    encode_reply=encode_single_reply,
    most_inputs=1,
)
_batch = partial(
    _codec,
    call=BATCH,
    decode_request=decode_batch,
    decode_reply=decode_batch_reply,
    encode_reply=encode_batch_reply,
    most_inputs=_MOST_IN_BATCH,
)
GEMINI = _batch(name="gemini", form="", encode_request=encode_batch)
VERTEX_BATCH = _batch(name="vertex", form="vertex", encode_request=encode_batch_at_vertex)
VERTEX_SINGLE = _single(name="vertex-single", form="vertex", encode_request=encode_single_at_vertex)
VERTEX_PREDICT = _codec(
    name="vertex-predict",
    form="vertex",
    call=PREDICT,
    decode_request=decode_predict,
    encode_request=encode_predict,
    decode_reply=decode_predict_reply,
    encode_reply=encode_predict_reply,
    most_inputs=_MOST_INSTANCES,
)
GOOGLE_EMBEDDINGS = (GEMINI, VERTEX_BATCH, VERTEX_SINGLE, VERTEX_PREDICT)


def find_single(body: Mapping[str, Any]) -> EmbeddingCodec:
    """Return the form of a client's embedContent."""
    return VERTEX_SINGLE


def find_batch(body: Mapping[str, Any]) -> EmbeddingCodec:
    """Return the form of a client's batchEmbedContents."""
    return VERTEX_BATCH


def find_predict(body: Mapping[str, Any]) -> EmbeddingCodec | None:
    """Return the form of a client's predict; None where it is for images or the like."""
    instances = body.get("instances")
    first = instances[0] if isinstance(instances, list) and instances else None
    return VERTEX_PREDICT if isinstance(first, dict) and isinstance(first.get("content"), str) else None


EMBEDDINGS = {SINGLE: find_single, BATCH: find_batch, PREDICT: find_predict}
