"""What only chat understands: kept, put back, or listed."""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.chat.extras import nested_extra, put_cache, put_extra
from llmproxy.dialects.codec import Losses
from llmproxy.dialects.members import Members
from llmproxy.dialects.model import Text


def test_members_of_inner_objects_are_kept_under_dotted_names() -> None:
    outer = Members({"x": 1, "none": None}, "messages[0]")
    inner = Members({"y": 2, "none": None}, "messages[0].image_url")
    assert nested_extra(outer, inner) == {"x": 1, "image_url.y": 2}


def test_they_go_back_to_where_they_stood() -> None:
    node = Text(text="a", extra={"x": 1, "image_url.y": 2, "a.b": 3})
    written: dict[str, Any] = {"image_url": {"url": "u"}}
    put_extra(written, node, own=True, losses=Losses())
    assert written == {"image_url": {"url": "u", "y": 2}, "x": 1, "a.b": 3}


def test_elsewhere_they_are_listed_by_their_path() -> None:
    losses = Losses()
    written: dict[str, Any] = {}
    node = Text(path="messages[0]", text="a", extra={"x": 1, "image_url.y": 2}, cache={})
    put_extra(written, node, own=False, losses=losses)
    put_cache(written, node, own=False, losses=losses)
    put_cache(written, Text(text="a", cache={}), own=False, losses=losses)
    assert written == {}
    assert losses.dropped == ["messages[0].x", "messages[0].image_url.y", "messages[0].cache_control", "cache_control"]


def test_a_cache_mark_goes_back() -> None:
    written: dict[str, Any] = {}
    put_cache(written, Text(text="a", cache={"type": "ephemeral"}), own=True, losses=Losses())
    put_cache(written, Text(text="a"), own=True, losses=Losses())
    assert written == {"cache_control": {"type": "ephemeral"}}
