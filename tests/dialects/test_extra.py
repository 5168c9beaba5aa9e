"""What only one dialect understands: kept, and put back where it stood."""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.extra import ITEM, Inner, nested_extra, paths_of, put_back
from llmproxy.dialects.members import Members


def test_members_of_inner_objects_are_kept_below_their_object() -> None:
    outer = Members({"x": 1, "none": None}, "messages[0]")
    inner = Members({"y": 2, "none": None}, "messages[0].image_url")
    extra = nested_extra(outer, inner, None, Members({}, "messages[0].file"))
    assert extra == {"x": 1, "image_url": {"y": 2}}
    assert paths_of(extra, "messages[0]") == ["messages[0].x", "messages[0].image_url.y"]


def test_they_go_back_to_where_they_stood() -> None:
    body: dict[str, Any] = {"image_url": {"url": "u"}}
    put_back(body, {"x": 1, "image_url": Inner(y=2), "a.b": 3, "custom": Inner(format=Inner(z=4))})
    assert body == {"image_url": {"url": "u", "y": 2}, "x": 1, "a.b": 3, "custom": {"format": {"z": 4}}}


def test_bookkeeping_goes_back_and_is_no_loss() -> None:
    extra = {"~id": "x", ITEM: {"phase": "p"}, "~text": Inner(format={}), "odd": 1}
    body: dict[str, Any] = {}
    put_back(body, extra)
    assert body == {"id": "x", "text": {"format": {}}, "odd": 1}
    assert paths_of(extra, "") == ["odd"]


def test_a_member_without_a_name_has_a_path_that_shows_it() -> None:
    assert paths_of({"": 1}, "") == ['""'] and paths_of({"": 1}, "a") == ['a.""']
