from __future__ import annotations

import copy
from typing import Any

import pytest

from llmproxy.redaction.json_path import mask_paths, parse_path
from llmproxy.redaction.names import MASK

BODY: dict[str, Any] = {
    "user": "me",
    "messages": [{"content": "a", "role": "user"}, {"content": [{"text": "b"}]}],
    "a.b": {"email": "x@y"},
    "deep": [[{"email": "p@q", "more": {"email": {"email": "z"}}}]],
}


def hidden(path: str) -> Any:
    value = copy.deepcopy(BODY)
    assert mask_paths(value, [parse_path(path)]) == (value != BODY)
    return value


@pytest.mark.parametrize("path", ["user", "$.user", "request.body.user", "response.body.user", '["user"]', " user "])
def test_a_member_is_named_with_or_without_what_it_is_a_member_of(path: str) -> None:
    assert hidden(path) == {**BODY, "user": MASK}


def test_a_side_restricts_a_path() -> None:
    assert [parse_path(path).side for path in ("request.body.user", "response.body.user", "user", "$.request.x")] == [
        "request",
        "response",
        None,
        None,
    ]


def test_every_item_of_a_list() -> None:
    messages = hidden("messages[*].content")["messages"]
    assert messages == [{"content": MASK, "role": "user"}, {"content": MASK}]


@pytest.mark.parametrize(("path", "which"), [("messages[0].content", 0), ("messages[-1].content", 1)])
def test_one_item_of_a_list_from_either_end(path: str, which: int) -> None:
    messages = hidden(path)["messages"]
    assert [message["content"] == MASK for message in messages] == [which == 0, which == 1]


def test_whole_items_may_be_named() -> None:
    assert hidden("messages[*]")["messages"] == [MASK, MASK]


def test_a_name_is_looked_for_at_any_depth() -> None:
    value = hidden("..email")
    assert value["a.b"] == {"email": MASK}
    assert value["deep"] == [[{"email": MASK, "more": {"email": MASK}}]]


def test_steps_may_follow_what_was_found_deep_down() -> None:
    assert hidden("..more.email")["deep"] == [[{"email": "p@q", "more": {"email": MASK}}]]


def test_every_member() -> None:
    assert hidden("messages[0].*")["messages"][0] == {"content": MASK, "role": MASK}


def test_odd_names_stand_in_quotes() -> None:
    assert hidden('["a.b"].email')["a.b"] == {"email": MASK}


@pytest.mark.parametrize("path", ["nothing", "messages.content", "messages[7]", "user.name", "user[0]", "..nobody"])
def test_what_is_not_there_changes_nothing(path: str) -> None:
    assert hidden(path) == BODY


@pytest.mark.parametrize(
    "path",
    [
        "",
        " ",
        "$",
        "a b",
        "a..",
        "a.",
        ".a.",
        "[x]",
        "[1",
        "a[*",
        "a[]",
        "request.user",
        "response",
        "..[0]",
        "a,b",
        '["',
        "request.body",
        "messages[*]content",
        "..*",
    ],
)
def test_a_mistake_is_reported_with_a_remedy(path: str) -> None:
    with pytest.raises(ValueError, match=r"is not a path.*(messages\[\*\]\.content|`request\.body\.`)|names no field"):
        parse_path(path)
