"""Taking a JSON object apart, with errors that name the place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llmproxy.dialects.members import Members, name_of, parse, wrong
from llmproxy.errors import BadRequest


def members(**values: Any) -> Members:
    return Members(values, "tools[0]")


def refused(call: Callable[[], object]) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        call()
    return caught.value


def test_a_body_is_one_json_object() -> None:
    assert parse(b' {"a": [1, 2.5, null, "\\u00e4"]} ') == {"a": [1, 2.5, None, "ä"]}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"a"', b'{"a": NaN}', b'{"a": "\\ud800"}', b'{"a": "\xff"}', b'{"a":' * 100_000],
    ids=lambda body: repr(body[:12]),
)
def test_any_other_body_is_refused(body: bytes) -> None:
    error = refused(lambda: parse(body))
    assert (error.status, error.code) == (400, "invalid_json")


def test_a_wrong_root_is_named_by_what_it_is() -> None:
    assert refused(lambda: parse(b"[]")).message == "The body must be a JSON object, not an array"
    assert refused(lambda: Members([])).message == "The body must be an object, not an array"
    error = refused(lambda: Members("a", "messages[0]"))
    assert (error.message, error.param) == ("messages[0] must be an object, not a string", "messages[0]")


@pytest.mark.parametrize(
    ("value", "name"),
    [({}, "an object"), ([], "an array"), ("", "a string"), (True, "a boolean"), (1, "a number"), (None, "null")],
)
def test_types_have_the_names_of_json(value: object, name: str) -> None:
    assert name_of(value) == name


def test_what_is_taken_is_gone_and_the_given_object_stays() -> None:
    given = {"a": "x", "b": None, "c": 1}
    taken = Members(given)
    assert taken.text("a") == "x"
    assert taken.rest == {"b": None, "c": 1}
    assert taken.left() == {"c": 1}
    assert given == {"a": "x", "b": None, "c": 1}


TAKERS: list[tuple[str, Any, list[Any]]] = [
    ("text", "a", [5, True, [], {}]),
    ("flag", True, ["yes", 1, 0, [], {}]),
    ("number", 1.5, ["1", True, [], {}]),
    ("whole", 3, ["1", True, 1.5, [], {}, float("inf"), float("nan")]),
    ("items", [1], ["a", 5, {}]),
    ("object", {"a": 1}, ["a", 5, []]),
    ("inner", None, ["a", 5, []]),
]


@pytest.mark.parametrize(("taker", "good", "bad"), TAKERS, ids=[taker for taker, _, _ in TAKERS])
def test_each_type_is_taken_and_others_are_refused(taker: str, good: Any, bad: list[Any]) -> None:
    assert getattr(members(x=good), taker)("x") == good
    assert getattr(members(x=None), taker)("x") is None
    assert getattr(members(), taker)("x") is None
    for value in bad:
        holder = members(x=value)
        error = refused(lambda holder=holder: getattr(holder, taker)("x"))  # type: ignore[misc]  # a default binds it
        assert (error.param, error.code) == ("tools[0].x", "invalid_value")


def test_a_whole_number_may_be_written_with_a_point() -> None:
    taken = members(x=5.0).whole("x")
    assert taken == 5 and type(taken) is int


def test_a_word_is_one_of_some() -> None:
    assert members(x="a").word("x", ("a", "b")) == "a"
    assert members().word("x", ("a", "b")) is None
    error = refused(lambda: members(x="c" * 99).word("x", ("a", "b")))
    assert error.message == f"tools[0].x must be one of a, b, not '{'c' * 50}'"


def test_what_must_be_there_is_missed() -> None:
    assert members(x="").needed_text("x") == ""
    for holder in (members(), members(x=None)):
        error = refused(lambda holder=holder: holder.needed_text("x"))  # type: ignore[misc]  # a default binds it
        assert (error.message, error.param) == ("tools[0].x is missing", "tools[0].x")


def test_inner_objects_know_their_path() -> None:
    inner = members(x={"y": {"z": 5}}).inner("x")
    assert inner is not None and inner.at("y") == "tools[0].x.y"
    assert Members({}).at("y") == "y"
    listed = list(members(x=[{"y": 1}, {}]).objects("x"))
    assert [each.path for each in listed] == ["tools[0].x[0]", "tools[0].x[1]"]
    assert list(members().objects("x")) == []
    assert refused(lambda: list(members(x=[{}, 5]).objects("x"))).param == "tools[0].x[1]"


def test_wrong_says_where() -> None:
    error = refused(lambda: wrong("a.b", "must be kind"))
    assert (error.message, error.param, error.status) == ("a.b must be kind", "a.b", 400)
