"""What only messages understands."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.codec import Losses
from llmproxy.dialects.members import Members
from llmproxy.dialects.messages.extras import nested_extra, put_extra
from llmproxy.dialects.model import Request
from llmproxy.errors import Untranslatable

BODY = {"speed": "fast", "a.b": 1, "output_config": {"task_budget": {"total": 5}}, "empty": None}


def request() -> Request:
    members = Members(BODY)
    return Request(dialect="messages", model="m", extra=nested_extra(members, members.inner("output_config"), None))


def test_members_of_an_inner_object_are_put_back_into_it() -> None:
    assert request().extra == {"speed": "fast", "a.b": 1, "output_config.task_budget": {"total": 5}}
    written: dict[str, Any] = {"output_config": {"effort": "low"}}
    losses = Losses()
    put_extra(written, request(), own=True, losses=losses)
    config = {"effort": "low", "task_budget": {"total": 5}}
    assert written == {"output_config": config, "speed": "fast", "a.b": 1} and not losses.dropped


def test_elsewhere_each_is_listed_by_its_place() -> None:
    losses, written = Losses(), dict[str, Any]()
    put_extra(written, request(), own=False, losses=losses)
    assert written == {} and losses.dropped == ["speed", "a.b", "output_config.task_budget"]
    with pytest.raises(Untranslatable):
        put_extra(written, request(), own=False, losses=Losses(strict=True))
