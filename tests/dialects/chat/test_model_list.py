"""Models as OpenAI's API lists them."""

from __future__ import annotations

from llmproxy.dialects.chat.model_list import one
from llmproxy.dialects.chat.model_list import page as page_of
from llmproxy.dialects.model_list import ListedModel


def listed(**members: object) -> ListedModel:
    return ListedModel(id="hub/m", owner="hub", members=members)


def test_in_chat_every_member_stays_but_the_name() -> None:
    assert one(listed(id="m", object="x", created=7, owned_by="org", context=8)) == {
        "id": "hub/m",
        "object": "model",
        "created": 7,
        "owned_by": "org",
        "context": 8,
    }


def test_in_chat_a_model_of_the_other_shape_is_translated() -> None:
    assert one(listed(type="model", id="m", display_name="M", created_at="2025-02-19T00:00:00Z")) == {
        "id": "hub/m",
        "object": "model",
        "created": 1739923200,
        "owned_by": "hub",
        "display_name": "M",
    }


FIVE = [ListedModel(id=name, owner="x", members={}) for name in "abcde"]


def test_the_list_of_chat_is_whole() -> None:
    page = page_of(FIVE)

    assert page["object"] == "list"
    assert page["data"] == [one(model) for model in FIVE]
