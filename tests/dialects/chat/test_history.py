from __future__ import annotations

from typing import Any

from llmproxy.dialects.chat.history import read_history
from llmproxy.dialects.history import ASSISTANT, CALL, TOOL, USER

CALLED = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "sky"}'}}


def test_turns_with_tools_are_told_in_order() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief"},
        {"role": "user", "content": "Look"},
        {"role": "assistant", "content": "Yes", "reasoning_content": "hm", "tool_calls": [CALLED]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "blue"}]},
        {"role": "developer", "content": "Be briefer"},
        {"role": "assistant", "content": None, "refusal": "No more"},
        {"role": "user", "content": [{"type": "text", "text": "Why?"}, {"type": "text", "text": "Tell"}]},
    ]
    history = read_history({"messages": messages})
    assert history.pieces == [
        (USER, "Look"),
        (ASSISTANT, "Yes"),
        (CALL, 'look {"at":"sky"}'),
        (TOOL, "blue"),
        (ASSISTANT, "No more"),
        (USER, "Why?"),
        (USER, "Tell"),
    ]
    assert (history.messages, history.last) == (5, 5)


def test_older_functions_are_calls_too() -> None:
    messages = [
        {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": '{"at":"sky"}'}},
        {"role": "function", "name": "look", "content": "blue"},
    ]
    assert read_history({"messages": messages}).pieces == [(CALL, 'look {"at":"sky"}'), (TOOL, "blue")]


def test_ids_of_calls_do_not_count() -> None:
    one, other = ({"role": "assistant", "tool_calls": [{**CALLED, "id": name}]} for name in ("c1", "c2"))
    assert read_history({"messages": [one]}) == read_history({"messages": [other]})


def test_a_refusal_is_the_same_as_a_part() -> None:
    whole = {"role": "assistant", "content": None, "refusal": "No"}
    part = {"role": "assistant", "content": [{"type": "refusal", "refusal": "No"}]}
    assert read_history({"messages": [whole]}) == read_history({"messages": [part]})


def test_odd_members_are_passed_over() -> None:
    odds: list[Any] = [5, True, "calls", {"function": {}}, [5, {"function": 5}, {}]]
    for odd in odds:
        message = {"role": "assistant", "content": "Yes", "tool_calls": odd, "function_call": odd}
        assert (ASSISTANT, "Yes") in read_history({"messages": [message, 5, {"role": ["user"]}, {}]}).pieces
    assert read_history({"messages": "Hello"}).pieces == read_history({}).pieces == []
