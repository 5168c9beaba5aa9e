"""What a translation leaves behind, and what no second dialect has."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.codec import MOST_LOSSES, BadReply, Losses, refuse_unshared
from llmproxy.dialects.model import Request, Text, ToolChoice
from llmproxy.errors import BadRequest


def asked(**extra: Any) -> Request:
    return Request(dialect="x", model="m", extra=extra)


def test_losses_are_listed_once_and_in_order() -> None:
    losses = Losses()
    for path in ("top_k", "seed", "top_k"):
        losses.drop(path)
    losses.drop_extra(Text(path="messages[0]", text="a", extra={"x": 1, "y": None}))
    losses.drop_extra(asked(container="c"))
    assert losses.dropped == ["top_k", "seed", "messages[0].x", "messages[0].y", "container"]


def test_of_very_many_losses_the_first_are_listed() -> None:
    losses = Losses()
    for number in range(MOST_LOSSES + 5):
        losses.drop(f"messages[{number}].name")
    assert losses.dropped[-2:] == [f"messages[{MOST_LOSSES - 1}].name", "..."] and len(losses.dropped) == 1001


def test_strict_refuses_the_first_loss() -> None:
    losses = Losses(strict=True)
    losses.drop_extra(Text(text="a"))
    with pytest.raises(BadRequest, match="top_k cannot be carried") as caught:
        losses.drop("top_k")
    assert (caught.value.status, caught.value.param, losses.dropped) == (400, "top_k", [])


def test_a_refusal_names_the_place_and_says_why() -> None:
    with pytest.raises(BadRequest) as caught:
        Losses().refuse("tools[0]", "It is built in")
    assert (caught.value.message, caught.value.param) == ("tools[0]: It is built in", "tools[0]")


@pytest.mark.parametrize(
    ("extra", "path"),
    [({"n": 2}, "n"), ({"n": 0}, "n"), ({"modalities": ["text", "audio"]}, "modalities"), ({"audio": {}}, "audio")],
    ids=str,
)
def test_several_choices_and_spoken_answers_are_refused(extra: dict[str, Any], path: str) -> None:
    with pytest.raises(BadRequest) as caught:
        refuse_unshared(asked(**extra), Losses())
    assert caught.value.param == path


@pytest.mark.parametrize("extra", [{}, {"n": 1}, {"modalities": ["text"]}, {"modalities": 5}], ids=str)
def test_one_written_answer_is_what_all_give(extra: dict[str, Any]) -> None:
    refuse_unshared(asked(**extra), Losses())


def test_a_bad_reply_lets_another_target_be_tried() -> None:
    error = BadReply("No")
    assert (error.status, error.retryable) == (502, True)


def test_a_choice_of_built_in_tools_is_refused_by_its_type() -> None:
    request = asked()
    request.tool_choice = ToolChoice(path="tool_choice", mode="required", opaque={"type": "web_search"})
    with pytest.raises(BadRequest, match="'web_search'") as caught:
        refuse_unshared(request, Losses())
    assert caught.value.param == "tool_choice"
