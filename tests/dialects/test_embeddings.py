"""Embeddings: counted, and written for the official SDK."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.dialects.embeddings import DIALECT, decode_reply
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage


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


def test_embeddings_are_not_streamed() -> None:
    watch = DIALECT.readers.watch()
    watch.feed(b'data: {"choices":[{"delta":{"content":"x"}}]}\n\ndata: [DONE]')
    assert watch.close() == Summary() and not watch.started


@pytest.mark.parametrize(
    ("indices", "order"),
    [([0, 1, 2], [0, 1, 2]), ([2, 0, 1], [1, 2, 0]), ([None, None, None], [0, 1, 2]), ([0, 0, 0], [0, 1, 2])]
    + [(wrong, None) for wrong in ([-1, 0, 1], [0, 1, 1], [10**20, 0, 1], [1, 2, 3], [0, 1, 0.5])],
)
def test_vectors_whose_places_are_not_known_are_no_answer(indices: list[int | None], order: list[int] | None) -> None:
    data = [
        {"embedding": [number], **({} if index is None else {"index": index})} for number, index in enumerate(indices)
    ]
    if order is None:
        with pytest.raises(ValueError, match="not known"):
            decode_reply({"data": data})
    else:
        assert [each[0] for each in decode_reply({"data": data}).vectors] == order
