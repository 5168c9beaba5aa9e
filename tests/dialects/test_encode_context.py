"""Losses of a translation, and what no second dialect has."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.encode_context import MAX_LOSSES, EncodeContext, Losses
from llmproxy.dialects.extra import Inner
from llmproxy.dialects.model import Media, Opaque, Request, Text, ToolChoice
from llmproxy.errors import BadRequest, Untranslatable


def request_with(**extra: Any) -> Request:
    return Request(dialect="x", model="m", extra=extra)


def test_losses_are_listed_once_and_in_order() -> None:
    losses = Losses()
    for path in ("top_k", "seed", "top_k"):
        losses.drop(path)
    losses.drop_extra(Text(path="messages[0]", text="a", extra={"x": 1, "y": None}))
    losses.drop_extra(request_with(container="c"))
    assert losses.dropped == ["top_k", "seed", "messages[0].x", "messages[0].y", "container"]


def test_of_very_many_losses_the_first_are_listed() -> None:
    losses = Losses()
    for number in range(MAX_LOSSES + 5):
        losses.drop(f"messages[{number}].name")
    assert losses.dropped[-2:] == [f"messages[{MAX_LOSSES - 1}].name", "..."] and len(losses.dropped) == 1001


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
        EncodeContext(losses=Losses()).refuse_unshared(request_with(**extra))
    assert caught.value.param == path


@pytest.mark.parametrize("extra", [{}, {"n": 1}, {"modalities": ["text"]}, {"modalities": 5}], ids=str)
def test_one_written_answer_is_what_all_give(extra: dict[str, Any]) -> None:
    EncodeContext(losses=Losses()).refuse_unshared(request_with(**extra))


def test_a_choice_of_built_in_tools_is_refused_by_its_type() -> None:
    request = request_with()
    request.tool_choice = ToolChoice(path="tool_choice", mode="required", opaque={"type": "web_search"})
    with pytest.raises(BadRequest, match="'web_search'") as caught:
        EncodeContext(losses=Losses()).refuse_unshared(request)
    assert caught.value.param == "tool_choice"


def test_extra_of_the_own_dialect_goes_back_and_any_other_is_listed() -> None:
    node = Text(path="messages[0]", text="a", extra={"x": 1, "image_url": Inner(y=2)}, cache={})
    own, other = (EncodeContext(losses=Losses(), own=own) for own in (True, False))
    body: dict[str, Any] = {}
    own.put_extra(body, node)
    own.put_cache(body, node)
    own.drop_extra(node)
    assert body == {"x": 1, "image_url": {"y": 2}, "cache_control": {}} and not own.losses.dropped
    other.put_extra({}, node)
    other.put_cache({}, node)
    other.drop_cache(Text(text="a", cache={}))
    other.drop_extra(Text(path="p", text="a", extra={"z": 1}))
    assert other.losses.dropped == [
        *("messages[0].x", "messages[0].image_url.y", "messages[0].cache_control", "cache_control", "p.z"),
    ]


def test_a_path_in_googles_storage_is_no_file_elsewhere() -> None:
    media = Media(path="a.b", kind="image", file_id="gs://bucket/x")
    assert EncodeContext(losses=Losses(), own=True).file_id_of(media) == "gs://bucket/x"
    with pytest.raises(
        Untranslatable, match=r"^a.b: The file 'gs://bucket/x' of another provider cannot be read here$"
    ):
        EncodeContext(losses=Losses()).file_id_of(media)


def test_what_is_built_into_another_api_is_named() -> None:
    tool = Opaque(path="cachedContent", dialect="gemini", kind="cachedContent", value={})
    with pytest.raises(Untranslatable, match=r"^cachedContent: 'cachedContent' is built into another API and does not"):
        EncodeContext(losses=Losses()).refuse_built_in(tool, "chat")
