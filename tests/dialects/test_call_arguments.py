"""The arguments of calls, in whatever form a service writes them."""

from __future__ import annotations

import pytest

from llmproxy.dialects.call_arguments import arguments_of, arguments_text, has_arguments, may_be_none


def test_arguments_are_text_or_an_object() -> None:
    values: tuple[object, ...] = ('{"a":1}', {"a": 1}, {}, [1], None, [], "")
    assert [arguments_text(value) for value in values] == ['{"a":1}', '{"a":1}', "{}", "[1]", "", "", ""]


@pytest.mark.parametrize("value", [None, "", " ", "\n", "null", " null\n", {}, [], False])
def test_nothing_in_any_form_is_an_empty_object(value: object) -> None:
    assert arguments_of(value) == "{}"


def test_other_text_is_the_arguments_of_a_call() -> None:
    assert arguments_of("nul") == "nul" and has_arguments("nul")


def test_a_beginning_may_still_be_none() -> None:
    assert [may_be_none(text) for text in ("", " ", " nul", "null ", "{", "nule")] == [True] * 4 + [False] * 2
