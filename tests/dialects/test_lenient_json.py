"""Fields of JSON that others wrote, of which none can be trusted."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.lenient_json import (
    Fields,
    content_text,
    count,
    error_message,
    fields_of,
    object_of,
    objects,
    string,
)


class Tokens(Fields):
    n: Any = None


def test_fields_are_read_beside_a_name_of_half_a_character() -> None:
    read = fields_of(Tokens, {"\ud800": 1, "n": 5})
    assert read is not None and read.n == 5


@pytest.mark.parametrize("value", ["", None, 1, True, [], {}, b"x"])
def test_only_text_that_says_something_is_a_string(value: object) -> None:
    assert string(value) is None
    assert string("x") == "x"


@pytest.mark.parametrize("value", [-1, 1.0, True, "1", None, [], 2**53, 10**400])
def test_only_whole_numbers_from_zero_count_tokens(value: object) -> None:
    assert count(value) is None
    assert [count(0), count(7), count(10**12), count(10**12 + 1)] == [0, 7, 10**12, None]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ({"message": "went wrong", "type": "t"}, "went wrong"),
        ({"type": "t", "code": "c"}, "t"),
        ({"message": 5, "code": "c"}, "c"),
        ({}, "error"),
        ("went wrong", "went wrong"),
        (None, None),
        ("", None),
        ([], None),
        (False, None),
    ],
)
def test_an_error_says_what_it_can(error: object, message: str | None) -> None:
    assert error_message(error) == message


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("plain", "plain"),
        ([{"type": "text", "text": "a"}, {"type": "image_url"}, {"text": "b"}, "c", {"text": 5}, None, 7], "abc"),
        (None, ""),
        ({"text": "no list"}, ""),
    ],
)
def test_content_is_text_or_parts_with_text(content: object, text: str) -> None:
    assert content_text(content) == text


def test_objects_are_what_is_left_of_a_value_of_any_type() -> None:
    assert objects([{"a": 1}, 2, None]) == [{"a": 1}] and objects({"a": 1}) == []
    assert object_of({"a": 1}) == {"a": 1} and object_of([{"a": 1}]) == {}
