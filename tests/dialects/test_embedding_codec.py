from __future__ import annotations

import pytest

from llmproxy.dialects.embedding_codec import EmbeddingRequest, purpose_of, vector, whole_number
from llmproxy.dialects.encode_context import Losses
from llmproxy.errors import BadRequest, Untranslatable


@pytest.mark.parametrize(
    ("inputs", "param"),
    [([], "input"), (["a", ""], "input[1]"), ([[]], "input[0]"), (["a"] * 2049, "input")],
)
def test_what_no_service_takes_is_refused(inputs: list[str], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        EmbeddingRequest(inputs=inputs, place="input[{}]").check(takes_tokens=True)
    assert caught.value.param == param and not caught.value.retryable


def test_tokens_are_refused_so_that_another_target_may_take_them() -> None:
    request = EmbeddingRequest(inputs=["a", [1, 2]], place="input[{}]")
    request.check(takes_tokens=True)
    with pytest.raises(Untranslatable) as caught:
        request.check(takes_tokens=False)
    assert caught.value.param == "input[1]" and caught.value.retryable


def test_what_is_set_and_not_kept_is_listed() -> None:
    request = EmbeddingRequest(
        inputs=["a"],
        place="input",
        dimensions=5,
        title="t",
        paths={"dimensions": "size", "title": "name", "user": "who"},
        other=("odd",),
    )
    losses = Losses()
    request.drop_unless(("title",), losses)
    assert losses.dropped == ["size", "odd"]


@pytest.mark.parametrize("value", [None, "AAAA", [1, "2"], [True], {"values": [1]}])
def test_what_is_no_vector_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="no vector"):
        vector(value)
    assert vector([1, 2.5]) == [1, 2.5]


@pytest.mark.parametrize(("value", "count"), [(3, 3), (3.0, 3), (0, 0), (-1, None), (True, None), ("3", None)])
def test_counts_are_numbers(value: object, count: int | None) -> None:
    assert whole_number(value) == count


def test_a_purpose_is_one_of_the_known() -> None:
    assert purpose_of("QUERY", {"query": "query"}, "p") == "query" and purpose_of(None, {}, "p") is None
    with pytest.raises(BadRequest, match="p must be one of query, not 'x'"):
        purpose_of("x", {"query": "query"}, "p")
