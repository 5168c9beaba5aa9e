"""Reasoning of other accounts, left out of requests of the Responses API."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.responses.sealed_thinking import SEALED
from llmproxy.errors import Untranslatable

FOREIGN, OWN = "F" * 40, "O" * 40


def leave_out(body: dict[str, Any]) -> list[str]:
    return SEALED.leave_out(body, lambda seal: seal in (FOREIGN, "rs_foreign"), "gpt-5.5")


def test_reasoning_goes_and_what_came_of_it_loses_its_id() -> None:
    items: list[dict[str, Any]] = [
        {"role": "user", "content": "a", "id": "msg_0"},
        {"type": "reasoning", "id": "rs_1", "encrypted_content": FOREIGN},
        {"type": "message", "role": "assistant", "id": "msg_1"},
        {"type": "function_call", "id": "fc_1", "call_id": "c"},
        {"type": "function_call_output", "id": "fco_1", "call_id": "c"},
        {"type": "reasoning", "id": "rs_foreign"},
        {"type": "reasoning", "id": "rs_2", "encrypted_content": OWN},
        {"type": "function_call", "id": "fc_2", "call_id": "d"},
    ]
    body = {"input": items}
    assert leave_out(body) == ["input[1]", "input[5]"]
    left = [item.get("id") for item in body["input"]]
    assert left == ["msg_0", None, None, "fco_1", "rs_2", "fc_2"]


def test_a_foreign_compaction_stands_for_the_whole_conversation() -> None:
    with pytest.raises(Untranslatable, match=r"input\[0\]: Only the provider"):
        leave_out({"input": [{"type": "compaction", "encrypted_content": FOREIGN}]})
    assert leave_out({"input": [{"type": "compaction", "encrypted_content": OWN}]}) == []


def test_odd_requests_stay_as_they_are() -> None:
    assert leave_out({"input": [None, 7, {"type": ["reasoning"]}]}) == leave_out({"input": "words"}) == []
