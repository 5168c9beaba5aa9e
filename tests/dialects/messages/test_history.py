from __future__ import annotations

from typing import Any

from llmproxy.dialects.history import ASSISTANT, CALL, TOOL, USER
from llmproxy.dialects.messages.history import read_history


def test_turns_with_tools_are_told_in_order() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "Look"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "x"},
                {"type": "text", "text": "Yes"},
                {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "sky"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "blue"}]},
                {"type": "text", "text": "Why?", "cache_control": {"type": "ephemeral"}},
            ],
        },
    ]
    history = read_history({"system": "Be brief", "messages": messages})
    assert history.pieces == [
        (USER, "Look"),
        (ASSISTANT, "Yes"),
        (CALL, 'look {"at":"sky"}'),
        (TOOL, "blue"),
        (USER, "Why?"),
    ]
    assert (history.messages, history.last) == (3, 3)


def test_marks_for_caching_do_not_count() -> None:
    def asked(**mark: object) -> dict[str, Any]:
        block = {"type": "image", "source": {"type": "url", "url": "https://h/a.png"}, **mark}
        return {"messages": [{"role": "user", "content": [block]}]}

    assert read_history(asked()) == read_history(asked(cache_control={"type": "ephemeral"}))


def test_results_are_the_same_as_text_and_as_blocks() -> None:
    def asked(content: object) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": content}]}]}

    assert read_history(asked("blue")).pieces == read_history(asked([{"type": "text", "text": "blue"}])).pieces


def test_system_messages_among_the_others_say_nothing() -> None:
    messages = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Look"}]
    assert read_history({"messages": messages}).pieces == [(USER, "Look")]


def test_odd_members_are_passed_over() -> None:
    content = [5, None, {"type": ["tool_use"]}, {"type": "tool_use"}, {"type": "tool_result", "content": 5}]
    pieces = read_history({"messages": [{"role": "user", "content": content}, 5, {"role": {}}]}).pieces
    assert (CALL, " {}") in pieces
    assert read_history({"messages": {"role": "user"}}).pieces == []
