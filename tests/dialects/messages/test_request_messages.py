"""The messages of a request, written from the neutral vocabulary."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic.types import MessageParam
from pydantic import TypeAdapter

from llmproxy.dialects.call_arguments import decode_arguments
from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.messages.content import encode_id
from llmproxy.dialects.messages.request_messages import encode_messages, encode_system
from llmproxy.dialects.model import (
    Block,
    Citation,
    Instruction,
    Media,
    Message,
    Opaque,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from llmproxy.errors import Untranslatable

MARK = {"type": "ephemeral"}


def write(*messages: Message, own: bool = False, dropped: list[str] | None = None) -> list[dict[str, Any]]:
    losses = Losses()
    written = encode_messages(messages, EncodeContext(own=own, losses=losses))
    assert losses.dropped == (dropped or [])
    TypeAdapter(list[MessageParam]).validate_python(written)
    return written


def user(*blocks: Block, **members: Any) -> Message:
    return Message(path="messages[0]", role="user", content=list(blocks), **members)


def assistant(*blocks: Block) -> Message:
    return Message(path="messages[1]", role="assistant", content=list(blocks))


def test_one_plain_text_is_a_string_and_more_are_blocks() -> None:
    assert write(user(Text(text="Hi"))) == [{"role": "user", "content": "Hi"}]
    two = [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": MARK}]
    assert write(user(Text(text="a"), Text(text="b", cache=MARK))) == [{"role": "user", "content": two}]


def test_messages_of_one_role_stay_apart() -> None:
    turns = [user(Text(text="a")), user(Text(text="b")), assistant(Text(text="c")), assistant(Text(text="d"))]
    assert [each["content"] for each in write(*turns)] == ["a", "b", "c", "d"]


def test_what_the_user_says_after_results_joins_them() -> None:
    results = user(ToolResult(id="t1", content=[Text(text="1")]), ToolResult(id="t2", content=[], error=True))
    written = write(results, user(Text(text="Go on.")), user(Text(text="Now.")))
    assert written == [
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "1"},
                {"type": "tool_result", "tool_use_id": "t2", "is_error": True},
                {"type": "text", "text": "Go on."},
            ],
        },
        {"role": "user", "content": "Now."},
    ]
    assert len(write(results, user(Text(text="Go on.")), own=True)) == 2


def test_results_come_first_in_their_message() -> None:
    written = write(user(Text(text="a"), ToolResult(id="t", content=[])))
    assert [block["type"] for block in written[0]["content"]] == ["tool_result", "text"]


def test_later_instructions_keep_their_place() -> None:
    developer = Message(path="m", role="developer", content=[Text(text="Hurry.")])
    written = write(user(Text(text="a")), developer, assistant(Text(text="b")))
    assert [each["role"] for each in written] == ["user", "system", "assistant"]
    picture = Message(path="m", role="system", content=[Media(path="m.p", kind="image", url="https://a")])
    with pytest.raises(Untranslatable, match="Only text"):
        write(picture)


def test_empty_texts_and_what_is_left_empty_by_them_are_left_out() -> None:
    empty = Text(path="p", text=" \n", cache=MARK)
    assert write(user(Text(text="a"), empty), assistant(empty), dropped=["p.cache_control"]) == [
        {"role": "user", "content": "a"}
    ]
    assert write(user(Text(text="")), own=True) == [{"role": "user", "content": ""}]


def test_a_name_has_no_place() -> None:
    assert write(user(Text(text="a"), name="Ann"), dropped=["messages[0].name"])[0]["content"] == "a"


def test_a_call_carries_its_arguments_as_an_object() -> None:
    calls = [ToolCall(id="t1", name="f", arguments='{"a": 1}', cache=MARK), ToolCall(id="t2", name="g", arguments="")]
    assert write(assistant(*calls))[0]["content"] == [
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}, "cache_control": MARK},
        {"type": "tool_use", "id": "t2", "name": "g", "input": {}},
    ]
    free = ToolCall(id="t", name="patch", arguments="*** Begin", custom=True)
    assert write(assistant(free))[0]["content"][0]["input"] == {"input": "*** Begin"}


@pytest.mark.parametrize("arguments", ["x", "[]", "5", '{"a":', "null", "NaN", "[" * 5000])
def test_arguments_that_are_no_object_go_as_text_in_one(arguments: str) -> None:
    assert decode_arguments(arguments) is None
    path = "messages[1].tool_calls[0]"
    [turn] = write(assistant(ToolCall(path=path, id="t", name="f", arguments=arguments)), dropped=[path])
    assert turn["content"][0]["input"] == {"_raw": arguments}


def test_ids_that_the_vendor_refuses_are_replaced_alike_in_call_and_result() -> None:
    written = write(
        assistant(ToolCall(id="call:1|x", name="f", arguments="{}")), user(ToolResult(id="call:1|x", content=[]))
    )
    given = written[0]["content"][0]["id"]
    assert given == written[1]["content"][0]["tool_use_id"] == encode_id("call:1|x") != encode_id("call:1|y")
    assert encode_id(given) == given and encode_id("") != ""


def test_a_result_carries_pictures_and_refuses_sounds() -> None:
    picture = Media(path="p", kind="image", url="https://a")
    written = write(user(ToolResult(id="t", content=[Text(text="See."), picture], cache=MARK)))[0]["content"][0]
    assert [block["type"] for block in written["content"]] == ["text", "image"] and written["cache_control"] == MARK
    with pytest.raises(Untranslatable, match="p: Audio"):
        write(user(ToolResult(id="t", content=[Media(path="p", kind="audio", data="AA==")])))


def test_signed_thinking_goes_back_bit_by_bit_and_no_other() -> None:
    sealed = Thinking(text=" hm ", dialect="messages", signature="EqQB+/==")
    redacted = Thinking(text="", dialect="messages", encrypted="EmwK+/==", redacted=True)
    unsealed = Thinking(path="a", text="x", dialect="messages", signature="")
    other = Thinking(path="b", text="y", dialect="chat")
    written = write(assistant(sealed, redacted, unsealed, other, Text(text="c")), dropped=["a", "b"])
    assert written[0]["content"] == [
        {"type": "thinking", "thinking": " hm ", "signature": "EqQB+/=="},
        {"type": "redacted_thinking", "data": "EmwK+/=="},
        {"type": "text", "text": "c"},
    ]
    assert write(assistant(Thinking(path="b", text="y", dialect="chat")), dropped=["b"]) == []


def test_a_refusal_is_the_models_text() -> None:
    assert write(assistant(Refusal(text="No.")))[0]["content"] == "No."


def test_citations_of_others_and_probabilities_are_dropped() -> None:
    cited = Text(path="p", text="a", annotations=[Citation(path="p.annotations[0]", url="u")], logprobs=[1])
    assert write(assistant(cited), dropped=["p.logprobs", "p.annotations[0]"])[0]["content"] == "a"


def test_a_citation_that_was_made_for_a_reply_is_not_sent_to_the_vendor() -> None:
    made = Citation(path="c", url="u", extra={"type": "web_search_result_location", "encrypted_index": ""})
    assert write(assistant(Text(text="a", annotations=[made])), own=True, dropped=["c"])[0]["content"] == "a"


def test_what_only_another_api_knows_is_refused_and_what_is_own_stands() -> None:
    with pytest.raises(Untranslatable, match="web_search_call") as raised:
        write(assistant(Opaque(path="input[1]", dialect="responses", kind="web_search_call", value={})))
    assert raised.value.param == "input[1]"
    upload = {"type": "container_upload", "file_id": "f"}
    own = Opaque(dialect="messages", kind="container_upload", value=upload)
    assert write(user(own), own=True) == [{"role": "user", "content": [upload]}]


def test_the_system_prompt_is_a_string_or_blocks() -> None:
    def system(*texts: Text) -> Any:
        return encode_system([Instruction(content=[text]) for text in texts], EncodeContext(losses=Losses(strict=True)))

    assert system(Text(text="a")) == "a"
    assert system(Text(text="a"), Text(text="b", cache=MARK)) == [
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b", "cache_control": MARK},
    ]
    assert system() is None and system(Text(text="")) is None


def test_what_only_another_dialect_understands_of_a_node_is_listed() -> None:
    extra = {"odd": 1}
    call = ToolCall(path="c", id="t", name="f", arguments="{}", extra=extra)
    turn = Message(path="m", role="assistant", content=[call, Text(path="e", text="", extra=extra)], extra=extra)
    write(turn, dropped=["c.odd", "e.odd", "m.odd"])
    assert write(turn, own=True)[0]["odd"] == 1
