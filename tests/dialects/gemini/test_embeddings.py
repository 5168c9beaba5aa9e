from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.embedding_codec import EmbeddingReply, EmbeddingRequest
from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.gemini.embeddings import (
    GEMINI,
    VERTEX_BATCH,
    VERTEX_PREDICT,
    VERTEX_SINGLE,
    find_predict,
)
from llmproxy.errors import BadRequest, Untranslatable


def content(*texts: str) -> dict[str, Any]:
    return {"parts": [{"text": text} for text in texts]}


FULL = EmbeddingRequest(
    inputs=["a", "b"],
    place="input[{}]",
    dimensions=5,
    purpose="query",
    title="t",
    truncate=False,
    user="u",
    paths={"dimensions": "d", "purpose": "p", "title": "t", "truncate": "cut", "user": "u"},
)


@pytest.mark.parametrize(
    "settings",
    [
        {"taskType": "RETRIEVAL_QUERY", "outputDimensionality": 5, "title": "t"},
        {"task_type": "retrieval_query", "output_dimensionality": 5, "title": "t"},
        {"embedContentConfig": {"taskType": "RETRIEVAL_QUERY", "outputDimensionality": 5, "title": "t"}},
    ],
)
def test_settings_are_read_beside_the_content_and_below_it(settings: dict[str, Any]) -> None:
    read = VERTEX_SINGLE.decode_request({"model": "models/m", "content": content("a", "b"), **settings})
    assert (read.inputs, read.purpose, read.dimensions, read.title) == (["a\nb"], "query", 5, "t")
    batch = GEMINI.decode_request({"requests": [{"content": content("a"), **settings}] * 2})
    assert (batch.inputs, batch.purpose, batch.place) == (["a", "a"], "query", "requests[{}].content")


def test_what_only_google_has_is_kept_as_other() -> None:
    read = VERTEX_SINGLE.decode_request(
        {"content": content("a"), "odd": 1, "embedContentConfig": {"documentOcr": True}}
    )
    assert read.other == ("odd", "embedContentConfig.documentOcr")


def test_each_form_is_written_with_what_it_has() -> None:
    losses = Losses()
    beside = {"taskType": "RETRIEVAL_QUERY", "title": "t", "outputDimensionality": 5}
    assert GEMINI.encode_request(FULL, "models/m", losses) == {
        "requests": [{"model": "models/m", "content": content(text), **beside} for text in "ab"]
    }
    assert losses.dropped == ["cut", "u"]
    config = {"embedContentConfig": {**beside, "autoTruncate": False}}
    at_vertex = VERTEX_BATCH.encode_request(FULL, "m", Losses())
    assert at_vertex == {"requests": [{"content": content(text), **config} for text in "ab"]}
    assert VERTEX_SINGLE.encode_request(FULL, "m", Losses()) == {"content": content("a"), **config}
    assert VERTEX_PREDICT.encode_request(FULL, "m", Losses()) == {
        "instances": [{"content": text, "task_type": "RETRIEVAL_QUERY", "title": "t"} for text in "ab"],
        "parameters": {"outputDimensionality": 5, "autoTruncate": False},
    }


def test_predict_is_read_and_is_not_every_predict() -> None:
    body = {
        "instances": [{"content": "a", "task_type": "CLUSTERING"}, {"content": "b", "taskType": "CLUSTERING"}],
        "parameters": {"outputDimensionality": 5, "odd": 1},
    }
    read = VERTEX_PREDICT.decode_request(body)
    assert (read.inputs, read.purpose, read.dimensions) == (["a", "b"], "clustering", 5)
    assert list(read.other) == ["parameters.odd"]
    assert find_predict(body) is VERTEX_PREDICT
    others: list[dict[str, Any]] = [{}, {"instances": []}, {"instances": [{"prompt": "a cat"}]}, {"instances": "x"}]
    assert [find_predict(other) for other in others] == [None] * 4


@pytest.mark.parametrize(
    ("codec", "reply", "tokens"),
    [
        (VERTEX_SINGLE, {"embedding": {"values": [1.0]}, "usageMetadata": {"promptTokenCount": 3}}, 3),
        (VERTEX_SINGLE, {"embedding": {"values": [1.0]}}, None),
        (GEMINI, {"embeddings": [{"values": [1.0]}]}, None),
        (VERTEX_BATCH, {"embeddings": [{"values": [1.0], "statistics": {"tokenCount": 3}}]}, 3),
        (VERTEX_PREDICT, {"predictions": [{"embeddings": {"values": [1.0], "statistics": {"token_count": 3}}}]}, 3),
        (VERTEX_PREDICT, {"predictions": [{"embeddings": {"values": [1.0]}}]}, None),
    ],
)
def test_replies_are_read_with_what_was_counted(codec: Any, reply: dict[str, Any], tokens: int | None) -> None:
    assert codec.decode_reply(reply) == EmbeddingReply(vectors=[[1.0]], tokens=tokens)


def test_replies_are_written_and_nothing_is_counted_that_is_unknown() -> None:
    one = EmbeddingReply(vectors=[[1.0]], tokens=3)
    assert VERTEX_SINGLE.encode_reply(one, FULL, "m") == {
        "embedding": {"values": [1.0]},
        "usageMetadata": {"promptTokenCount": 3},
    }
    assert GEMINI.encode_reply(EmbeddingReply(vectors=[[1.0]]), FULL, "m") == {"embeddings": [{"values": [1.0]}]}
    statistics = VERTEX_PREDICT.encode_reply(one, FULL, "m")["predictions"][0]["embeddings"]["statistics"]
    assert statistics == {"truncated": False, "token_count": 3}


@pytest.mark.parametrize(
    ("codec", "body", "param"),
    [
        (VERTEX_SINGLE, {"content": {"parts": [{"inlineData": {}}]}}, "content.parts[0]"),
        (
            GEMINI,
            {"requests": [{"content": content("a")}, {"content": content("b"), "taskType": "CLUSTERING"}]},
            "requests[1].taskType",
        ),
        (
            VERTEX_PREDICT,
            {"instances": [{"content": "a"}, {"content": "b", "title": "t"}]},
            "instances[1].task_type",
        ),
    ],
)
def test_what_others_cannot_be_asked_for_is_refused(codec: Any, body: dict[str, Any], param: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        codec.decode_request(body)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("codec", "body"),
    [(GEMINI, {}), (GEMINI, {"requests": [{}]}), (VERTEX_SINGLE, {}), (VERTEX_SINGLE, {"content": 7, "taskType": "X"})],
)
def test_a_broken_request_is_a_400(codec: Any, body: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        codec.decode_request(body)
