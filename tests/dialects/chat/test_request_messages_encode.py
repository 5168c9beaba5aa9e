"""The messages of a chat request, written for requests of another dialect."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.chat.request_messages_encode import (
    MAX_ID,
    SHOWN_BELOW,
    write_id,
    write_instructions,
    write_message,
)
from llmproxy.dialects.codec import Losses
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


def written(role: Any, *content: Block, developer: bool = True) -> tuple[list[dict[str, Any]], list[str]]:
    losses = Losses()
    message = Message(path="messages[0]", role=role, content=list(content))
    return write_message(message, own=False, developer=developer, losses=losses), losses.dropped


def sent(*content: Block, role: Any = "user") -> Any:
    """The content of the one message that is written, nothing being lost."""
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
    messages = write_instructions(system, own=False, developer=True, losses=losses)
    assert [(each["role"], each["content"]) for each in messages] == [
        ("system", "a\n\nb"),
        ("developer", "c"),
    ]
    assert losses.dropped == ["system[1].cache_control"]


def test_developers_are_system_where_the_service_knows_none() -> None:
    system = [Instruction(role="developer", content=[Text(text="a")])]
    assert write_instructions(system, own=False, developer=False, losses=Losses()) == [
        {"role": "system", "content": "a"}
    ]
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


def test_citations_that_are_sent_back_are_listed() -> None:
    text = Text(path="p", text="a", annotations=[Citation(path="p.citations[0]"), Citation()], logprobs=[])
    assert written("assistant", text)[1] == ["p.citations[0]", "p.annotations", "p.logprobs"]


def test_long_ids_are_shortened_always_in_the_same_way() -> None:
    long = "toolu_" + "x" * 60
    assert write_id("c" * MAX_ID, own=False) == "c" * MAX_ID
    assert write_id(long, own=True) == long
    short = write_id(long, own=False)
    assert short == write_id(long, own=False) != write_id(long + "y", own=False)
    assert 0 < len(short) <= MAX_ID
    assert write_id("", own=False) == write_id("", own=False) != ""
