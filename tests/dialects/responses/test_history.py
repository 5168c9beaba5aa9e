from __future__ import annotations

from typing import Any

from llmproxy.dialects.history import ASSISTANT, CALL, TOOL, USER
from llmproxy.dialects.responses.history import read_history


def test_items_are_told_in_order() -> None:
    items: list[dict[str, Any]] = [
        {"role": "developer", "content": "Be brief"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Look"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Yes"}]},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{ "at": "sky" }'},
        {"type": "function_call_output", "call_id": "c1", "output": "blue"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "add", "input": "1 + 2"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "3"}]},
        {"role": "user", "content": "Why?"},
    ]
    history = read_history({"instructions": "Be brief", "input": items})
    assert history.pieces == [
        (USER, "Look"),
        (ASSISTANT, "Yes"),
        (CALL, 'look {"at":"sky"}'),
        (TOOL, "blue"),
        (CALL, "add 1 + 2"),
        (TOOL, "3"),
        (USER, "Why?"),
    ]
    assert (history.messages, history.last) == (7, 6)


def test_a_string_is_what_the_user_said() -> None:
    assert read_history({"input": " Look "}) == read_history({"input": [{"role": "user", "content": "Look"}]})


def test_a_refusal_is_told_once() -> None:
    item = {"role": "assistant", "content": [{"type": "refusal", "refusal": "No"}]}
    assert read_history({"input": [item]}).pieces == [(ASSISTANT, "No")]


def test_references_to_different_items_differ() -> None:
    one, other = ({"input": [{"type": "item_reference", "id": name}]} for name in ("msg_1", "msg_2"))
    assert read_history(one).pieces == [(ASSISTANT, "msg_1")]
    assert read_history(other).pieces == [(ASSISTANT, "msg_2")]


def test_ids_and_states_of_other_calls_do_not_count() -> None:
    def asked(**passing: object) -> dict[str, Any]:
        return {"input": [{"type": "web_search_call", "action": {"query": "news"}, **passing}]}

    assert read_history(asked(id="ws_1", status="completed")) == read_history(asked())


def test_odd_members_are_passed_over() -> None:
    odd: list[Any] = [5, None, {"type": ["message"]}, {"role": ["system"], "content": 5}, {"role": {}, "content": {}}]
    assert len(read_history({"input": odd}).pieces) <= 2
    assert read_history({"input": 5}).pieces == read_history({}).pieces == []
