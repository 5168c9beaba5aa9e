"""Models as Anthropic's API lists them."""

from __future__ import annotations

import pytest

from llmproxy.dialects.messages.model_list import one
from llmproxy.dialects.messages.model_list import page as page_of
from llmproxy.dialects.model_list import ListedModel


def listed(**members: object) -> ListedModel:
    return ListedModel(id="hub/m", owner="hub", members=members)


def test_in_messages_a_model_of_the_other_shape_is_translated() -> None:
    assert one(listed(id="m", object="model", created=1739923200, owned_by="org")) == {
        "type": "model",
        "id": "hub/m",
        "display_name": "hub/m",
        "created_at": "2025-02-19T00:00:00Z",
    }


def test_in_messages_every_member_stays_but_the_name() -> None:
    shown = one(listed(type="model", id="m", display_name="M", created_at="2025-02-19T00:00:00.5Z", max_tokens=9))

    assert shown == {
        "type": "model",
        "id": "hub/m",
        "display_name": "M",
        "created_at": "2025-02-19T00:00:00.5Z",
        "max_tokens": 9,
    }


FIVE = [ListedModel(id=name, owner="x", members={}) for name in "abcde"]


@pytest.mark.parametrize(
    ("query", "ids", "more"),
    [
        ("", "abcde", False),
        ("limit=2", "ab", True),
        ("limit=5", "abcde", False),
        ("limit=2&after_id=b", "cd", True),
        ("after_id=d", "e", False),
        ("after_id=e", "", False),
        ("limit=2&before_id=e", "cd", True),
        ("before_id=b", "a", False),
        ("after_id=unknown", "", False),
        ("limit=many", "abcde", False),
        ("limit=" + "9" * 5000, "abcde", False),
    ],
)
def test_the_list_of_messages_comes_in_pages_when_asked(query: str, ids: str, more: bool) -> None:
    page = page_of(FIVE, query)

    data = page["data"]
    assert isinstance(data, list)
    assert "".join(each["id"] for each in data) == ids
    assert page["has_more"] is more
    assert (page["first_id"], page["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))
