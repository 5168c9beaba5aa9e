"""Thinking that another model signed, left out of requests of messages."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.messages.sealed_thinking import SEALED

FOREIGN, OWN = "F" * 40, "O" * 40
SONNET = "claude-sonnet-4-5"


def thought(seal: str = FOREIGN) -> dict[str, Any]:
    return {"type": "thinking", "thinking": "hm", "signature": seal}


def called(*before: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a turn with a call, and the result of that."""
    call = {"type": "tool_use", "id": "toolu_1", "name": "n", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "12"}
    return [{"role": "assistant", "content": [*before, call]}, {"role": "user", "content": [result]}]


def leave_out(body: dict[str, Any], model: str = SONNET) -> list[str]:
    return SEALED.leave_out(body, lambda seal: seal == FOREIGN, model)


def test_thinking_of_others_goes_and_ones_own_stays() -> None:
    redacted = {"type": "redacted_thinking", "data": FOREIGN}
    content = [thought(), redacted, thought(OWN), {"type": "text", "text": "Yes."}]
    body = {"messages": [{"role": "assistant", "content": content}], "thinking": {"type": "enabled"}}
    assert leave_out(body) == ["messages[0].content[0]", "messages[0].content[1]"]
    assert body["messages"] == [{"role": "assistant", "content": content[2:]}]
    assert body["thinking"] == {"type": "enabled"}


@pytest.mark.parametrize(
    ("model", "left"),
    [(SONNET, {"type": "disabled"}), ("claude-opus-5-5", None), ("claude-sonnet-5-5", None)],
)
def test_a_tool_turn_without_its_thinking_goes_on_without_thinking(model: str, left: object) -> None:
    edits = [{"type": "clear_thinking_20251015"}, {"type": "clear_tool_uses_20250919"}]
    body = {
        "messages": called(thought()),
        "thinking": {"type": "adaptive"},
        "context_management": {"edits": edits, "x": 1},
    }
    assert leave_out(body, model) == ["messages[0].content[0]", "thinking"]
    assert body.get("thinking") == left
    assert body["context_management"] == {"edits": edits[1:], "x": 1}


def test_the_same_where_the_turn_went_on_without_before() -> None:
    body = {"messages": called(), "thinking": {"type": "enabled"}}
    assert leave_out(body) == ["thinking"]
    own = {"messages": called(thought(OWN)), "thinking": {"type": "enabled"}}
    assert leave_out(own) == []


def test_unsigned_thinking_which_translation_writes_is_refused_by_its_vendor_alone() -> None:
    content = [thought(""), thought("reasoning_content"), {"type": "text", "text": "Yes."}]
    assert leave_out({"messages": [{"role": "assistant", "content": content}]}) == [
        "messages[0].content[0]",
        "messages[0].content[1]",
    ]
    assert leave_out({"messages": [{"role": "assistant", "content": content}]}, "kimi-k3") == []


@pytest.mark.parametrize(
    "text",
    [
        b'{"type":"thinking","thinking":"","signature":"%b"}',
        b'{"type": "signature_delta", "signature" : "%b"}',
        b'{"type":"redacted_thinking","data":"%b"}',
        b'{"data": "%b==", "type": "redacted_thinking"}',
    ],
)
def test_seals_are_found_in_bytes(text: bytes) -> None:
    raw = text % FOREIGN.encode()
    assert SEALED.in_answer(raw)
    assert [next(filter(None, match.groups())) for match in SEALED.pattern.finditer(raw)] == [FOREIGN.encode()]


@pytest.mark.parametrize("messages", [None, 7, [None, 7, {"role": "assistant"}, {"role": "assistant", "content": [1]}]])
def test_odd_requests_stay_as_they_are(messages: object) -> None:
    assert leave_out({"messages": messages, "thinking": 7}) == []
