from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.embedding_codec import EmbeddingReply, EmbeddingRequest
from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.invoke_embeddings import COHERE, COHERE_4, TITAN, TITAN_2, counting, find_invoked
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage
from llmproxy.errors import BadRequest, Untranslatable


def request(**fields: Any) -> EmbeddingRequest:
    return EmbeddingRequest(inputs=["a"], place="input", **fields)


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"inputText": "a"}, "titan-2"),
        ({"inputText": "a", "textGenerationConfig": {}}, None),
        ({"texts": ["a"], "input_type": "clustering"}, "cohere-4"),
        ({"texts": ["a"]}, None),
        ({"messages": [], "anthropic_version": "x"}, None),
        ({}, None),
    ],
)
def test_a_body_tells_what_it_asks_for(body: dict[str, Any], name: str | None) -> None:
    codec = find_invoked(body)
    assert (codec.name if codec else None) == name


def test_a_request_for_titan_is_read_and_written() -> None:
    read = TITAN_2.decode_request(
        {"inputText": "a", "dimensions": 256, "embeddingTypes": ["float"], "normalize": False}
    )
    assert (read.inputs, read.dimensions, read.by_type, read.other) == (["a"], 256, True, ("normalize",))
    losses = Losses()
    assert TITAN_2.encode_request(read, "m", losses) == {"inputText": "a", "dimensions": 256}
    assert TITAN.encode_request(read, "m", losses) == {"inputText": "a"}
    assert losses.dropped == ["normalize", "dimensions"]
    reply = TITAN.decode_reply({"embeddingsByType": {"float": [1.0]}, "inputTextTokenCount": 3})
    assert reply == EmbeddingReply(vectors=[[1.0]], tokens=3)
    written = {"embedding": [1.0], "inputTextTokenCount": 3, "embeddingsByType": {"float": [1.0]}}
    assert TITAN_2.encode_reply(reply, read, "m") == written


def test_a_request_for_cohere_is_read_and_written() -> None:
    read = COHERE_4.decode_request(
        {"texts": ["a"], "input_type": "clustering", "truncate": "LEFT", "output_dimension": 256, "max_tokens": 5}
    )
    assert (read.purpose, read.truncate, read.dimensions, read.other) == ("clustering", True, 256, ("max_tokens",))
    losses = Losses()
    assert COHERE.encode_request(read, "m", losses) == {"texts": ["a"], "input_type": "clustering", "truncate": "END"}
    assert losses.dropped == ["output_dimension", "max_tokens"]
    assert COHERE_4.encode_request(request(dimensions=256, truncate=False), "m", Losses()) == {
        "texts": ["a"],
        "input_type": "search_document",
        "truncate": "NONE",
        "output_dimension": 256,
        "embedding_types": ["float"],
    }
    reply = COHERE.decode_reply({"embeddings": {"float": [[1.0]]}})
    assert reply == EmbeddingReply(vectors=[[1.0]]) == COHERE.decode_reply({"embeddings": [[1.0]]})
    written = COHERE.encode_reply(reply, read, "m")
    assert (written["embeddings"], written["response_type"]) == ([[1.0]], "embeddings_floats")
    read.by_type = True
    written = COHERE.encode_reply(reply, read, "m")
    assert (written["embeddings"], written["response_type"]) == ({"float": [[1.0]]}, "embeddings_by_type")


def test_a_purpose_that_cohere_lacks_is_listed_and_texts_are_documents() -> None:
    losses = Losses()
    body = COHERE.encode_request(request(purpose="similarity", paths={"purpose": "task_type"}), "m", losses)
    assert (body["input_type"], losses.dropped) == ("search_document", ["task_type"])


@pytest.mark.parametrize(
    ("codec", "body", "param"),
    [
        (TITAN, {"inputText": "a", "embeddingTypes": ["binary"]}, "embeddingTypes"),
        (COHERE, {"texts": ["a"], "input_type": "clustering", "embedding_types": ["int8"]}, "embedding_types"),
        (COHERE, {"images": ["data:"], "input_type": "clustering"}, "images"),
        (COHERE, {"texts": [7], "input_type": "clustering"}, "texts[0]"),
    ],
)
def test_what_others_have_nothing_of_is_refused(codec: Any, body: dict[str, Any], param: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        codec.decode_request(body)
    assert caught.value.param == param


def test_a_request_without_texts_is_refused() -> None:
    for codec, body in ((TITAN, {"dimensions": 5}), (COHERE, {"input_type": "clustering"})):
        with pytest.raises(BadRequest, match="is missing"):
            codec.decode_request(body)


def test_the_count_of_titan_is_read_and_all_other_answers_by_the_other_reader() -> None:
    read = counting(lambda body, *, text=False: Summary(model="other"))
    assert read(b'{"embedding":[1],"inputTextTokenCount":4}') == Summary(usage=Usage(input=4), complete=True)
    assert read(b'{"inputTextTokenCount"').usage == Usage(input=None)
    assert read(b"{}") == Summary(model="other")
