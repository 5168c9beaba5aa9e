"""The object `thinking`, as it stood."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.claude_thinking import decode_thinking, own_thinking
from llmproxy.dialects.members import Members
from llmproxy.dialects.model import Reasoning
from llmproxy.errors import BadRequest


@pytest.mark.parametrize(
    ("thinking", "mode"),
    [
        ({"type": "enabled", "budget_tokens": 2048}, "on"),
        ({"type": "adaptive", "display": "omitted"}, "adaptive"),
        ({"type": "disabled"}, "off"),
        ({"type": "between_tools"}, "adaptive"),
        ({"type": "adaptive", "display": "new", "more": 1}, "adaptive"),
    ],
)
def test_what_is_read_goes_back(thinking: dict[str, Any], mode: str) -> None:
    reasoning, paths = Reasoning(), dict[str, str]()
    decode_thinking(Members(thinking, "thinking"), reasoning, paths)
    assert reasoning.mode == mode and paths["mode"] == "thinking.type"
    assert {**(own_thinking(reasoning) or {}), **reasoning.extra} == thinking


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"thinking\.type"):
        decode_thinking(Members({"type": "hard"}, "thinking"), Reasoning(), {})


def test_a_request_that_says_nothing_has_none() -> None:
    assert own_thinking(Reasoning(effort="high")) is None
