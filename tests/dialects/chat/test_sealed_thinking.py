"""Signatures of other models, left out of requests of chat."""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.chat.sealed_thinking import SEALED

FOREIGN, OWN = "F" * 40, "O" * 40


def signed(seal: str, **more: object) -> dict[str, Any]:
    return {**more, "extra_content": {"google": {"thought_signature": seal}}}


def leave_out(body: dict[str, Any]) -> list[str]:
    return SEALED.leave_out(body, lambda seal: seal == FOREIGN, "gemini-3-pro")


def test_calls_and_messages_lose_the_signatures_of_others() -> None:
    calls = [signed(FOREIGN, id="a"), signed(OWN, id="b"), {"id": "c"}]
    body = {"messages": [signed(FOREIGN, role="assistant", tool_calls=calls), signed(FOREIGN, role="user")]}
    assert leave_out(body) == ["messages[0].extra_content", "messages[0].tool_calls[0].extra_content"]
    assert body["messages"][0] == {"role": "assistant", "tool_calls": [{"id": "a"}, *calls[1:]]}
    assert "extra_content" in body["messages"][1]


def test_odd_requests_stay_as_they_are() -> None:
    odd = [None, {"role": "assistant", "tool_calls": [7, {"extra_content": 7}], "extra_content": {"google": 7}}]
    assert leave_out({"messages": odd}) == leave_out({"messages": 7}) == []
