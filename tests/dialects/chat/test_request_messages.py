"""The messages of a chat request, read into turns."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.chat.request_messages import Turns, read_arguments
from llmproxy.dialects.members import Members
from llmproxy.dialects.model import Instruction, Message, Opaque, Refusal, Text, Thinking, ToolCall, ToolResult
from llmproxy.errors import BadRequest


def turns(*messages: Any) -> Turns:
    read = Turns()
    for index, message in enumerate(messages):
        read.read(Members(message, f"messages[{index}]"))
    return read


def user(text: str = "Hi") -> dict[str, Any]:
    return {"role": "user", "content": text}


def call(call_id: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_leading_instructions_keep_their_role_and_their_name() -> None:
    read = turns(
        {"role": "system", "content": "a", "name": "n"},
        {"role": "developer", "content": [{"type": "text", "text": "b"}]},
        user(),
    )
    assert read.system == [
        Instruction(path="messages[0]", content=[Text(path="messages[0].content", text="a")], extra={"name": "n"}),
        Instruction(path="messages[1]", role="developer", content=[Text(path="messages[1].content[0]", text="b")]),
    ]


def test_later_instructions_stay_where_they_stand() -> None:
    read = turns(user(), {"role": "system", "content": "a"}, user())
    assert [message.role for message in read.messages] == ["user", "system", "user"]
    assert read.system == []


def test_a_name_and_unknown_members_are_kept() -> None:
    assert turns({**user(), "name": "Ann", "mood": "good"}).messages == [
        Message(
            path="messages[0]",
            role="user",
            name="Ann",
            content=[Text(path="messages[0].content", text="Hi")],
            extra={"mood": "good"},
        )
    ]


def test_an_answer_is_thinking_text_refusal_and_calls_in_this_order() -> None:
    message = {
        "role": "assistant",
        "content": "a",
        "refusal": "r",
        "reasoning_content": "t",
        "tool_calls": [call("c1"), {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "x"}}],
        "audio": {"id": "audio_1"},
    }
    assert turns(message).messages[0].content == [
        Thinking(path="messages[0].reasoning_content", text="t", dialect="chat", field="reasoning_content"),
        Text(path="messages[0].content", text="a"),
        Refusal(path="messages[0].refusal", text="r"),
        Opaque(path="messages[0].audio", dialect="chat", kind="audio", value={"id": "audio_1"}),
        ToolCall(path="messages[0].tool_calls[0]", id="c1", name="f", arguments="{}"),
        ToolCall(path="messages[0].tool_calls[1]", id="c2", name="g", arguments="x", custom=True),
    ]


@pytest.mark.parametrize("content", [None, "", []], ids=repr)
def test_an_answer_of_calls_alone_has_no_text(content: Any) -> None:
    blocks = turns({"role": "assistant", "content": content, "tool_calls": [call("c1")]}).messages[0].content
    assert [type(block) for block in blocks] == [ToolCall]


def test_consecutive_results_are_one_turn() -> None:
    read = turns(
        {
            "role": "assistant",
            "tool_calls": [call("c1"), {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "x"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "1"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "2"}], "name": "g"},
        user(),
        {"role": "tool", "tool_call_id": "c3", "content": "3"},
    )
    assert [(message.role, len(message.content)) for message in read.messages] == [
        ("assistant", 2),
        ("user", 2),
        ("user", 1),
        ("user", 1),
    ]
    first, second = read.messages[1].content
    assert first == ToolResult(path="messages[1]", id="c1", content=[Text(path="messages[1].content", text="1")])
    assert isinstance(second, ToolResult) and second.custom and second.extra == {"name": "g"}


def test_legacy_calls_and_results_find_each_other_by_name() -> None:
    read = turns(
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": None},
    )
    ids = [
        block.id for message in read.messages for block in message.content if isinstance(block, ToolCall | ToolResult)
    ]
    assert ids == ["call_0", "call_0", "call_2", "call_2"]


def test_a_call_of_an_unknown_kind_is_kept() -> None:
    value = {"id": "c1", "type": "robot", "robot": {}}
    assert turns({"role": "assistant", "tool_calls": [value]}).messages[0].content == [
        Opaque(path="messages[0].tool_calls[0]", dialect="chat", kind="robot", value=value)
    ]


@pytest.mark.parametrize(
    ("message", "path"),
    [
        ({}, "role"),
        ({"role": 5}, "role"),
        ({"role": "robot", "content": "a"}, "role"),
        ({"role": "user"}, "content"),
        ({"role": "user", "content": "a", "name": 5}, "name"),
        ({"role": "system", "content": [{"type": "refusal", "refusal": "a"}]}, "content[0]"),
        ({"role": "assistant"}, "content"),
        ({"role": "assistant", "content": None}, "content"),
        ({"role": "assistant", "content": "a", "tool_calls": "f"}, "tool_calls"),
        ({"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "f"}}]}, "tool_calls[0].id"),
        ({"role": "assistant", "tool_calls": [{"id": "c"}]}, "tool_calls[0].function"),
        (
            {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {}}}]},
            "tool_calls[0].function.arguments",
        ),
        ({"role": "assistant", "reasoning_content": 5}, "reasoning_content"),
        ({"role": "tool", "content": "a"}, "tool_call_id"),
        ({"role": "tool", "tool_call_id": "c"}, "content"),
        ({"role": "function", "content": "a"}, "name"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named(message: Any, path: str) -> None:
    with pytest.raises(BadRequest) as caught:
        turns(message)
    assert caught.value.param == f"messages[0].{path}"


def test_arguments_are_text_even_where_a_service_sends_an_object() -> None:
    assert [read_arguments(value) for value in ('{"a":1}', {"a": 1}, None, 5)] == ['{"a":1}', '{"a":1}', "", ""]
