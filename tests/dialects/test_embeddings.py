"""Embeddings: counted, and written for the official SDK."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.dialects.embeddings import DIALECT, write_vectors
from llmproxy.dialects.model import Usage
from llmproxy.dialects.summary import Summary
from llmproxy.errors import BadRequest
from tests.support.sdk_clients import CANNED, UNCOUNTED, openai_client


def test_the_tokens_of_a_reply_are_read() -> None:
    body = b'{"object":"list","data":[{"embedding":[0.5]}],"model":"e","usage":{"prompt_tokens":8,"total_tokens":8}}'
    assert DIALECT.readers.summarize(body) == Summary(model="e", usage=Usage(input=8), complete=True)
    assert DIALECT.readers.summarize(b'{"data":[],"usage":[]}') == Summary(complete=True)
    assert DIALECT.readers.summarize(b'{"error":{"message":"no"}}') == Summary(error="no")


@given(st.binary(max_size=40))
def test_no_reply_makes_reading_fail(body: bytes) -> None:
    assert isinstance(DIALECT.readers.summarize(body), Summary)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"input":"one"}', "one"),
        (b'{"input":["one","two"]}', "one\ntwo"),
        (b'{"input":[1,2]}', None),
        (b"{}", None),
        (b"no JSON", None),
    ],
)
def test_the_input_is_the_text_of_a_request(body: bytes, text: str | None) -> None:
    assert DIALECT.readers.request_text(body) == text


@pytest.mark.parametrize(
    ("given_input", "vectors"), [("a", 1), (["a", "b"], 2), ([1, 2, 3], 1), ([[1, 2], [3]], 2), ([], 0), ([["x"]], 1)]
)
def test_every_input_gets_a_vector(given_input: object, vectors: int) -> None:
    request = json.dumps({"input": given_input}).encode()
    data = json.loads(write_vectors(CANNED, request))["data"]
    assert [each["index"] for each in data] == list(range(vectors))
    assert all(len(each["embedding"]) == 8 for each in data)


def test_a_vector_depends_on_its_input_alone_and_has_length_1() -> None:
    one, two = (
        [each["embedding"] for each in json.loads(write_vectors(CANNED, request))["data"]]
        for request in (b'{"input":["a","b"]}', b'{"input":["b","a"],"model":"other"}')
    )
    assert one == two[::-1] and one[0] != one[1]
    assert all(abs(sum(number * number for number in vector) - 1) < 1e-9 for vector in one)


def test_the_sdk_reads_both_encodings_to_the_same_vector() -> None:
    packed = write_vectors(CANNED, b'{"input":"a","encoding_format":"base64","dimensions":3}')
    floats = write_vectors(CANNED, b'{"input":"a","encoding_format":"float","dimensions":3}')
    assert len(packed) != len(floats)
    [read] = openai_client(packed).embeddings.create(model="m", input="a").data
    assert read.embedding == pytest.approx(json.loads(floats)["data"][0]["embedding"], abs=1e-6)
    assert len(read.embedding) == 3


def test_usage_is_told_when_it_is_known() -> None:
    assert json.loads(write_vectors(CANNED, b"{}"))["usage"] == {"prompt_tokens": 11, "total_tokens": 11}
    assert json.loads(write_vectors(UNCOUNTED, b"{}"))["usage"] is None


def test_embeddings_are_not_streamed() -> None:
    with pytest.raises(BadRequest, match="stream"):
        DIALECT.write_stream(CANNED)
    watch = DIALECT.readers.watch()
    watch.feed(b'data: {"choices":[{"delta":{"content":"x"}}]}\n\ndata: [DONE]')
    assert watch.close() == Summary() and not watch.started
