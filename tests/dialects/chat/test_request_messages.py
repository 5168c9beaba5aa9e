"""The messages of a chat request, read into turns."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.dialects.chat.request_messages import (
    MAX_ID,
    SHOWN_BELOW,
    MessageDecoder,
    encode_id,
    encode_instructions,
    encode_message,
)
from llmproxy.dialects.encode_context import EncodeContext, Losses, Options
from llmproxy.dialects.members import Members
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
from llmproxy.errors import BadRequest


def turns(*messages: Any) -> MessageDecoder:
    decoder = MessageDecoder()
    for index, message in enumerate(messages):
        decoder.decode(Members(message, f"messages[{index}]"))
    return decoder


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


def context(losses: Losses, *, developer: bool = True) -> EncodeContext:
    return EncodeContext(losses=losses, options=Options(developer=developer))


def written(role: Any, *content: Block, developer: bool = True) -> tuple[list[dict[str, Any]], list[str]]:
    losses = Losses()
    message = Message(path="messages[0]", role=role, content=list(content))
    return encode_message(message, context(losses, developer=developer)), losses.dropped


def sent(*content: Block, role: Any = "user") -> Any:
    """Return the content of the one message that is written, nothing being lost."""
    messages, dropped = written(role, *content)
    assert dropped == [] and len(messages) == 1
    return messages[0]["content"]


def refused(*content: Block, role: Any = "user") -> str:
    with pytest.raises(BadRequest) as caught:
        written(role, *content)
    assert caught.value.param
    return caught.value.message


def test_one_text_is_a_string_and_more_are_parts() -> None:
    assert sent(Text(text="a")) == "a"
    assert sent(Text(text="a"), Text(text="b")) == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert sent() == ""


def test_several_system_blocks_are_one_message() -> None:
    losses = Losses()
    system = [
        Instruction(content=[Text(text="a")]),
        Instruction(path="system[1]", content=[Text(path="system[1]", text="b", cache={"type": "ephemeral"})]),
        Instruction(role="developer", content=[Text(text="c")]),
    ]
    messages = encode_instructions(system, context(losses))
    assert [(each["role"], each["content"]) for each in messages] == [
        ("system", "a\n\nb"),
        ("developer", "c"),
    ]
    assert losses.dropped == ["system[1].cache_control"]


def test_developers_are_system_where_the_service_knows_none() -> None:
    system = [Instruction(role="developer", content=[Text(text="a")])]
    assert encode_instructions(system, context(Losses(), developer=False)) == [{"role": "system", "content": "a"}]
    assert written("developer", Text(text="a"), developer=False)[0] == [{"role": "system", "content": "a"}]
    assert written("developer", Text(text="a"))[0] == [{"role": "developer", "content": "a"}]


@pytest.mark.parametrize(
    ("media", "part"),
    [
        (
            Media(kind="image", media_type="image/png", data="AA==", detail="high"),
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "high"}},
        ),
        (Media(kind="image", url="https://x"), {"type": "image_url", "image_url": {"url": "https://x"}}),
        (Media(kind="video", url="https://x"), {"type": "video_url", "video_url": {"url": "https://x"}}),
        (
            Media(kind="audio", media_type="audio/mpeg", data="AA=="),
            {"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}},
        ),
        (
            Media(kind="document", media_type="application/pdf", data="AA=="),
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "document.pdf"}},
        ),
        (
            Media(kind="document", text="a", name="a.txt"),
            {"type": "file", "file": {"file_data": "data:text/plain;base64,YQ==", "filename": "a.txt"}},
        ),
        (Media(kind="document", file_id="file-1"), {"type": "file", "file": {"file_id": "file-1"}}),
    ],
    ids=str,
)
def test_media(media: Media, part: dict[str, Any]) -> None:
    assert sent(media) == [part]


def test_what_chat_cannot_carry_is_refused_by_its_path() -> None:
    path = "messages[0].content[0]"
    assert "URL" in refused(Media(path=path, kind="document", url="https://x"))
    assert "file id" in refused(Media(path=path, kind="image", file_id="f"))
    assert "base64" in refused(Media(path=path, kind="audio", url="https://x"))
    assert "search_result" in refused(Opaque(path=path, dialect="x", kind="search_result", value={}))
    assert "image" in refused(Media(path=path, kind="image", data="AA=="), role="assistant")
    assert "server_tool_use" in refused(
        Opaque(path=path, dialect="x", kind="server_tool_use", value={}), role="assistant"
    )


def test_results_come_before_the_rest_of_their_turn() -> None:
    messages, _ = written(
        "user",
        Text(text="go on"),
        ToolResult(id="c1", content=[Text(text="1")]),
        ToolResult(id="c2", content=[]),
    )
    assert messages == [
        {"role": "tool", "tool_call_id": "c1", "content": "1"},
        {"role": "tool", "tool_call_id": "c2", "content": ""},
        {"role": "user", "content": "go on"},
    ]


def test_what_a_tool_shows_follows_all_results() -> None:
    image = Media(kind="image", url="https://x")
    messages, dropped = written(
        "user",
        ToolResult(id="c1", content=[image]),
        ToolResult(id="c2", content=[Text(text="2"), image]),
        Text(text="go on"),
    )
    part = {"type": "image_url", "image_url": {"url": "https://x"}}
    assert [each["content"] for each in messages] == [
        SHOWN_BELOW,
        "2",
        [part, part, {"type": "text", "text": "go on"}],
    ]
    assert dropped == []


def test_that_a_tool_failed_is_listed() -> None:
    result = ToolResult(path="messages[0].content[0]", id="c1", content=[Text(text="no")], error=True)
    assert written("user", result)[1] == ["messages[0].content[0].is_error"]


def test_an_answer_is_text_and_calls() -> None:
    call = ToolCall(path="c", id="c1", name="f", arguments="{}", cache={"type": "ephemeral"})
    messages, dropped = written("assistant", Text(text="a"), call, Refusal(text="No"))
    assert messages == [
        {
            "role": "assistant",
            "content": "a",
            "refusal": "No",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        }
    ]
    assert dropped == ["c.cache_control"]


def test_an_answer_of_calls_alone_has_null_as_content() -> None:
    assert sent(ToolCall(id="c1", name="f", arguments="x", custom=True), role="assistant") is None


def test_the_thinking_of_others_is_listed_and_a_turn_without_more_is_left_out() -> None:
    thought = Thinking(path="messages[0].content[0]", text="t", dialect="x", signature="s")
    assert written("assistant", thought) == ([], ["messages[0].content[0]"])
    assert written("assistant", thought, Text(text="a"))[0] == [{"role": "assistant", "content": "a"}]


@pytest.mark.parametrize("place", ["reasoning_content", "reasoning"])
def test_thinking_of_chat_goes_back_where_it_stood(place: str) -> None:
    shown: list[Block] = [
        Thinking(text="t", dialect="chat", field=place),
        Thinking(text="t", dialect="messages", signature=place),
        Thinking(text="t", dialect="responses", encrypted=place),
    ]
    for thought in shown:
        assert written("assistant", thought, Text(text="a")) == (
            [{"role": "assistant", place: "t", "content": "a"}],
            [],
        )
    assert written("assistant", shown[0], Text(text="a"), shown[0])[0][0][place] == "tt"


def test_a_turn_of_thinking_alone_is_left_out_and_listed() -> None:
    """Agents send one after a cut stream. Chat services demand text or calls of an assistant."""
    thought = Thinking(path="p", text="t", dialect="responses", encrypted="reasoning_content")
    assert written("assistant", thought) == ([], ["p"])
    own = turns({"role": "assistant", "reasoning_content": "t"}).messages[0]
    body = {"role": "assistant", "reasoning_content": "t", "content": None}
    assert encode_message(own, EncodeContext(losses=Losses(), own=True)) == [body]


def test_thinking_goes_back_in_fields_that_the_service_accepts_only() -> None:
    losses = Losses()
    some = EncodeContext(losses=losses, options=Options(chat_thinking=frozenset({"reasoning"})))
    shown: list[Block] = [
        Thinking(path="p", text="t", dialect="messages", signature="reasoning_content"),
        Thinking(text="u", dialect="messages", signature="reasoning"),
        Text(text="a"),
    ]
    message = Message(role="assistant", content=shown)
    assert encode_message(message, some) == [{"role": "assistant", "reasoning": "u", "content": "a"}]
    assert losses.dropped == ["p"]


def test_citations_that_are_sent_back_are_listed() -> None:
    text = Text(path="p", text="a", annotations=[Citation(path="p.citations[0]"), Citation()], logprobs=[])
    assert written("assistant", text)[1] == ["p.citations[0]", "p.annotations", "p.logprobs"]


def test_long_ids_are_shortened_always_in_the_same_way() -> None:
    long = "toolu_" + "x" * 60
    assert encode_id("c" * MAX_ID, context(Losses())) == "c" * MAX_ID
    assert encode_id(long, EncodeContext(losses=Losses(), own=True)) == long
    short = encode_id(long, context(Losses()))
    assert short == encode_id(long, context(Losses())) != encode_id(long + "y", context(Losses()))
    assert 0 < len(short) <= MAX_ID
    assert encode_id("", context(Losses())) == encode_id("", context(Losses())) != ""


def test_a_service_that_wants_short_ids_gets_them_for_calls_and_results() -> None:
    short = EncodeContext(losses=Losses(), options=Options(short_call_ids=True))
    asked = Message(role="assistant", content=[ToolCall(id="toolu_1", name="f", arguments="{}")])
    answered = Message(role="user", content=[ToolResult(id="toolu_1", content=[Text(text="x")])])
    [call], [result] = encode_message(asked, short), encode_message(answered, short)
    name = result["tool_call_id"]
    assert call["tool_calls"][0]["id"] == name and len(name) == 9 and name.isalnum()


_TEXT: Any = st.sampled_from(["", " ", "a", None, 1, [{"type": "text", "text": "x"}], []])


def _function(name: object) -> dict[str, object]:
    return {"name": name, "arguments": "{}"} if name else {"name": "f"}


_CALL: Any = st.fixed_dictionaries(
    {"id": st.sampled_from(["c1", "c2", None]), "function": st.sampled_from(["f", None, 1]).map(_function)},
    optional={"type": st.sampled_from(["function", "custom", None]), "index": st.just(0)},
)
_MESSAGE: Any = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "system", 3])},
    optional={
        "content": _TEXT,
        "tool_call_id": st.sampled_from(["c1", "c2", None, 7]),
        "tool_calls": st.lists(_CALL, max_size=2),
        "name": st.sampled_from(["n", None]),
    },
)


@given(st.lists(_MESSAGE, max_size=6))
def test_plain_messages_are_decoded_as_all_others_are(messages: list[dict[str, object]]) -> None:
    fast, slow = MessageDecoder(), MessageDecoder()
    try:
        for index, message in enumerate(messages):
            slow.decode(Members(message, f"messages[{index}]"))
    except BadRequest:
        return
    for index, message in enumerate(messages):
        if not fast.decode_plain(message, index):
            fast.decode(Members(message, f"messages[{index}]"))
    assert (fast.messages, fast.system) == (slow.messages, slow.system)
