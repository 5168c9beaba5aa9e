from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.catalog import codecs
from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.model import Media, Message, Opaque, Refusal, Request, Text, Thinking, ToolCall, ToolResult
from llmproxy.dialects.responses.request_messages import MAX_ID, ItemDecoder, decode_input, encode_message
from llmproxy.errors import BadRequest, Untranslatable
from tests.support.full_responses_request import FULL


def turns(*items: dict[str, Any]) -> ItemDecoder:
    return decode_input(list(items))


def written(message: Message, *, own: bool = False) -> tuple[list[dict[str, Any]], list[str]]:
    losses = Losses()
    return encode_message(message, EncodeContext(own=own, losses=losses)), losses.dropped


def test_what_the_model_did_is_one_turn_and_results_are_another() -> None:
    read = decode_input(FULL["input"])
    kinds = [[type(block) for block in message.content] for message in read.messages]
    assert kinds[1] == [Thinking, Text, Refusal, ToolCall, ToolCall]
    assert kinds[2] == [ToolResult, ToolResult]
    assert [message.path for message in read.messages[:3]] == ["input[1]", "input[2]", "input[6]"]


def test_thinking_keeps_its_encrypted_content() -> None:
    [message] = turns(
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAA=", "status": "completed"}
    ).messages
    [thought] = message.content
    assert isinstance(thought, Thinking)
    assert (thought.id, thought.encrypted, thought.redacted, thought.dialect) == ("rs_1", "gAA=", True, "responses")
    assert written(message, own=True)[0] == [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAA=", "status": "completed"}
    ]


@pytest.mark.parametrize(
    "item",
    [
        {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": t} for t in ("a", "b")]},
        {
            "type": "reasoning",
            "id": "r",
            "summary": [{"type": "summary_text", "text": "a"}],
            "content": [{"type": "reasoning_text", "text": "b"}],
        },
        {"type": "reasoning", "id": "r", "summary": [], "content": [{"type": "reasoning_text", "text": "b"}]},
        {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "x", "id": "ctc_1"},
        {"type": "function_call_output", "call_id": "c", "output": "", "id": "fco_1", "status": "completed"},
        {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}},
        {"role": "assistant", "content": "said"},
        {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": []},
    ],
)
def test_an_item_comes_back_as_it_was(item: dict[str, Any]) -> None:
    [message] = turns(item).messages
    expected = [] if item.get("content") == [] else [item]
    assert written(message, own=True)[0] == expected


def test_items_that_only_this_api_has_are_kept_whole() -> None:
    item = {"type": "computer_call", "id": "cu_1", "action": {"type": "click"}, "status": "completed"}
    [message] = turns(item).messages
    assert message.content == [Opaque(path="input[0]", dialect="responses", kind="computer_call", value=item)]


def test_an_item_of_another_api_is_refused_by_name() -> None:
    block = Opaque(path="messages[1].content[0]", dialect="messages", kind="server_tool_use", value={})
    with pytest.raises(Untranslatable, match="server_tool_use") as refused:
        written(Message(role="assistant", content=[block]))
    assert refused.value.param == "messages[1].content[0]"


def test_a_picture_in_a_turn_of_the_model_is_refused() -> None:
    with pytest.raises(Untranslatable):
        written(Message(role="assistant", content=[Media(path="p", kind="image", url="https://h")]))


def test_results_stand_before_what_the_user_says_with_them() -> None:
    result = ToolResult(path="p", id="c", content=[Text(text="42")], error=True)
    items, dropped = written(Message(path="m", role="user", content=[result, Text(text="and?")], name="ann"))
    assert items == [
        {"type": "function_call_output", "call_id": "c", "output": "42"},
        {"role": "user", "content": "and?"},
    ]
    assert dropped == ["m.name", "p.is_error"]


def test_thinking_of_others_is_left_out_and_listed() -> None:
    thought = Thinking(path="messages[1].content[0]", text="hm", dialect="messages", signature="s")
    items, dropped = written(Message(role="assistant", content=[thought, Text(text="x")]))
    assert items == [{"role": "assistant", "content": "x"}] and dropped == ["messages[1].content[0]"]


def test_ids_that_are_too_long_are_shortened_alike() -> None:
    def call_id(name: str, *, own: bool = False) -> str:
        call = ToolCall(id=name, name="f", arguments="{}")
        [item] = written(Message(role="assistant", content=[call]), own=own)[0]
        return str(item["call_id"])

    long = "t" * (MAX_ID + 1)
    assert call_id("short") == "short" and call_id(long, own=True) == long
    short = call_id(long)
    assert len(short) <= MAX_ID and short == call_id(long) != call_id(long + "u")


def test_an_item_without_a_type_or_role_is_a_reference() -> None:
    [message] = turns({"id": "msg_1"}).messages
    assert isinstance(message.content[0], Opaque) and message.content[0].kind == "item_reference"


@pytest.mark.parametrize("given", [5, {"a": 1}, None])
def test_input_is_a_string_or_items(given: object) -> None:
    with pytest.raises(BadRequest) as refused:
        decode_input(given)
    assert refused.value.param == "input"


def test_messages_of_the_model_that_follow_each_other_stay_apart_here() -> None:
    said = [{"role": "assistant", "content": text} for text in ("one", "two")]
    [message] = turns(*said).messages
    assert [block.text for block in message.content if isinstance(block, Text)] == ["one", "two"]
    assert written(message, own=True) == (said, [])


def test_the_phase_of_a_message_is_listed_and_its_bookkeeping_is_not() -> None:
    item = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "phase": "commentary",
        "content": [{"type": "output_text", "text": "a", "annotations": []}],
    }
    [message] = turns(item).messages
    assert written(message, own=True) == ([item], [])
    assert written(message)[1] == ["input[0].phase"]


@pytest.mark.parametrize("kind", ["function_call_output", "custom_tool_call_output"])
def test_a_result_that_names_no_call_goes_back_as_it_was_and_nowhere_else(kind: str) -> None:
    item = {"type": kind, "output": "42", "name": "f"}
    [message] = turns(item).messages
    assert written(message, own=True) == ([item], [])
    request = Request(dialect="responses", model="m", messages=[message])
    with pytest.raises(Untranslatable, match="without call_id") as refused:
        codecs()["chat"].encode_request(request, codecs()["chat"].context(request.dialect, Losses()))
    assert refused.value.param == "input[0]"
