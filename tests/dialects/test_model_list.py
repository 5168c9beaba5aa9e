"""When a model was made, as far as its provider said."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from llmproxy.dialects.chat import model_list as chat
from llmproxy.dialects.messages import model_list as messages
from llmproxy.dialects.model_list import ListedModel


@pytest.mark.parametrize(
    "members",
    [{}, {"created": None}, {"created": "soon"}, {"created": 1.7e12 * 1000}, {"created": -5}, {"created_at": "soon"}],
)
def test_a_time_that_nobody_said_is_the_epoch(members: Mapping[str, object]) -> None:
    assert chat.one(ListedModel(id="m", owner="o", members=members))["created"] == 0
    without = {name: value for name, value in members.items() if name != "created_at"}
    assert messages.one(ListedModel(id="m", owner="o", members=without))["created_at"] == "1970-01-01T00:00:00Z"
