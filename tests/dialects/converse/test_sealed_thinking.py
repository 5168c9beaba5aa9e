"""Reasoning that another model signed, left out of requests of Converse."""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.converse.sealed_thinking import SEALED

FOREIGN, OWN = "F" * 40, "O" * 40
SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"


def thought(seal: str = FOREIGN) -> dict[str, Any]:
    return {"reasoningContent": {"reasoningText": {"text": "hm", "signature": seal}}}


def leave_out(body: dict[str, Any]) -> list[str]:
    return SEALED.leave_out(body, lambda seal: seal == FOREIGN, SONNET)


def test_reasoning_of_others_goes_and_turns_still_alternate() -> None:
    redacted = {"reasoningContent": {"redactedContent": FOREIGN}}
    body = {
        "messages": [
            {"role": "user", "content": [{"text": "a"}]},
            {"role": "assistant", "content": [redacted]},
            {"role": "user", "content": [{"text": "b"}]},
            {"role": "assistant", "content": [thought(OWN), {"text": "c"}]},
        ]
    }
    assert leave_out(body) == ["messages[1].content[0]"]
    assert [message["role"] for message in body["messages"]] == ["user", "assistant"]
    assert body["messages"][0]["content"] == [{"text": "a"}, {"text": "b"}]


def test_a_tool_turn_without_its_reasoning_goes_on_without_thinking() -> None:
    call = {"role": "assistant", "content": [thought(), {"toolUse": {"toolUseId": "t"}}]}
    body = {"messages": [call], "additionalModelRequestFields": {"thinking": {"type": "enabled"}, "x": 1}}
    assert leave_out(body) == ["messages[0].content[0]", "additionalModelRequestFields.thinking"]
    assert body["additionalModelRequestFields"] == {"thinking": {"type": "disabled"}, "x": 1}


def test_odd_requests_stay_as_they_are() -> None:
    odd = [None, {"role": "assistant", "content": [7, {"reasoningContent": 7}]}]
    assert leave_out({"messages": odd, "additionalModelRequestFields": 7}) == []
