"""A parameter that is misspelt, empty or repeated is refused, never ignored."""

from __future__ import annotations

import pytest

from llmproxy.errors import BadRequest
from llmproxy.wire.query import check_query, parse_query


@pytest.mark.parametrize(
    ("query", "parameters"),
    [(None, {}), ("", {}), ("a=1&b=%20x", {"a": "1", "b": " x"}), ("a", {"a": ""}), ("a=b=c&&", {"a": "b=c"})],
)
def test_parameters_are_decoded(query: str | None, parameters: dict[str, str]) -> None:
    assert parse_query(query) == parameters


@pytest.mark.parametrize("query", ["a=1&a=2", "a=1&b=2&a=1", "a&a", "%61=1&a=2"])
def test_one_that_is_there_twice_is_refused(query: str) -> None:
    with pytest.raises(BadRequest, match="'a' is repeated"):
        parse_query(query)


@pytest.mark.parametrize("query", ["modell=x", "Model=x", "=x", "model=x&y=1", "x" * 5000])
def test_an_unknown_one_is_refused_by_name(query: str) -> None:
    with pytest.raises(BadRequest, match="Use limit or model") as caught:
        check_query(parse_query(query), ("model", "limit"))
    assert caught.value.status == 400 and len(caught.value.message) < 200
    with pytest.raises(BadRequest, match="Send none"):
        check_query(parse_query(query), ())


@pytest.mark.parametrize("query", ["model", "model=", "limit=1&model="])
def test_one_without_a_value_is_refused(query: str) -> None:
    with pytest.raises(BadRequest, match="'model' is empty"):
        check_query(parse_query(query), ("model", "limit"))


def test_known_ones_with_values_are_fine() -> None:
    check_query(parse_query("model=x&limit=1"), ("model", "limit"))
    check_query(parse_query(None), ())
