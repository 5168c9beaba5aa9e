from __future__ import annotations

from typing import Any

from llmproxy.dialects.codec import Losses
from llmproxy.dialects.members import Members
from llmproxy.dialects.model import Text
from llmproxy.dialects.responses.extras import drop_cache, item_extra, nested_extra, put_extra


def test_members_of_inner_objects_stand_under_dotted_names_and_come_back() -> None:
    outer = Members({"a": 1, "reasoning": {"context": "auto", "none": None}})
    extra = nested_extra(outer, outer.inner("reasoning") or Members({}))
    assert extra == {"a": 1, "reasoning.context": "auto"}
    written: dict[str, Any] = {"reasoning": {"effort": "low"}}
    put_extra(written, Text(text="", extra=extra), own=True, losses=Losses())
    assert written == {"a": 1, "reasoning": {"effort": "low", "context": "auto"}}


def test_ids_and_states_come_back_and_are_no_loss_elsewhere() -> None:
    node = Text(path="input[0]", text="", extra=item_extra(Members({"id": "x", "status": "completed", "odd": 1})))
    written: dict[str, Any] = {}
    put_extra(written, node, own=True, losses=Losses())
    assert written == {"id": "x", "status": "completed", "odd": 1}
    losses = Losses()
    put_extra(written, node, own=False, losses=losses)
    assert losses.dropped == ["input[0].odd"]


def test_a_cache_mark_is_listed() -> None:
    losses = Losses()
    drop_cache(Text(path="p", text="", cache={"type": "ephemeral"}), losses)
    drop_cache(Text(path="q", text=""), losses)
    assert losses.dropped == ["p.cache_control"]
