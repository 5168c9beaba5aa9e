"""The blocks of messages, read into the neutral vocabulary."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.content import decode_part, only_texts
from llmproxy.dialects.members import Members
from llmproxy.dialects.messages.content import DECODERS, decode_content, encode_citation
from llmproxy.dialects.model import Block, Citation, Media, Opaque, Place, Text, Thinking, ToolCall, ToolResult
from llmproxy.errors import BadRequest

MARK = {"type": "ephemeral", "ttl": "1h"}


def read(**block: Any) -> Block:
    return decode_part(Members(block, "here"), DECODERS, "messages")


def complaint(**block: Any) -> tuple[str, str | None]:
    with pytest.raises(BadRequest) as raised:
        read(**block)
    return raised.value.message, raised.value.param


def test_a_string_is_one_text() -> None:
    assert decode_content("Hi", "here") == [Text(path="here", text="Hi")]


def test_a_text_keeps_its_cache_mark_and_what_else_it_has() -> None:
    block = read(type="text", text="Hi", cache_control=MARK, citations=None, new=1)
    assert block == Text(path="here", text="Hi", cache=MARK, extra={"new": 1})


def test_a_citation_of_a_type_that_is_no_string_goes_on_as_it_came() -> None:
    cited = {"type": ["page_location"], "cited_text": "green", "title": "Grass"}
    block = read(type="text", text="Hi", citations=[cited])
    assert isinstance(block, Text)
    assert encode_citation(block.annotations[0]) == cited


def test_the_offsets_of_a_citation_are_places_in_a_document() -> None:
    place = {
        "type": "char_location",
        "cited_text": "green",
        "document_index": 0,
        "document_title": "Grass",
        "start_char_index": 4,
        "end_char_index": 9,
    }
    found = {
        "type": "web_search_result_location",
        "cited_text": "blue",
        "encrypted_index": "x",
        "title": "Sky",
        "url": "https://a",
    }
    block = read(type="text", text="Hi", citations=[place, found])
    assert isinstance(block, Text)
    inner = {"type": "char_location", "document_index": 0, "start_char_index": 4, "end_char_index": 9}
    assert block.annotations == [
        Citation(
            path="here.citations[0]",
            title="Grass",
            quote="green",
            extra=inner,
            place=Place(kind="characters", document=0, start=4, end=9),
        ),
        Citation(
            path="here.citations[1]",
            url="https://a",
            title="Sky",
            quote="blue",
            extra={"type": "web_search_result_location", "encrypted_index": "x"},
        ),
    ]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"type": "base64", "media_type": "image/png", "data": "AA=="}, {"media_type": "image/png", "data": "AA=="}),
        ({"type": "url", "url": "https://a/b.png"}, {"url": "https://a/b.png"}),
        ({"type": "url", "url": "data:image/PNG;base64,AA=="}, {"media_type": "image/png", "data": "AA=="}),
        ({"type": "file", "file_id": "file_1"}, {"file_id": "file_1"}),
    ],
)
@pytest.mark.parametrize("kind", ["image", "document"])
def test_media_are_read_from_each_source(kind: Any, source: dict[str, Any], said: dict[str, Any]) -> None:
    block = read(type=kind, source=source, cache_control=MARK)
    assert block == Media(path="here", kind=kind, cache=MARK, **said)


def test_a_document_has_a_title_and_more_that_only_messages_knows() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "words", "new": 1}
    block = read(type="document", source=source, title="T", context="C", citations={"enabled": True})
    extra = {"context": "C", "citations": {"enabled": True}, "source": {"new": 1}}
    assert block == Media(path="here", kind="document", media_type="text/plain", text="words", name="T", extra=extra)


def test_a_document_in_chunks_is_text_whose_borders_only_messages_knows() -> None:
    chunks = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    source = {"type": "content", "content": chunks}
    block = read(type="document", source=source)
    assert isinstance(block, Media) and block.text == "one\n\ntwo" and block.extra == {"source": source}


def test_a_document_with_pictures_inside_stands_for_itself() -> None:
    picture = {"type": "image", "source": {"type": "url", "url": "https://a"}}
    source = {"type": "content", "content": [picture]}
    value = {"type": "document", "source": source, "title": "T"}
    assert read(**value) == Opaque(path="here", dialect="messages", kind="document", value=value)


def test_a_call_keeps_its_input_as_json_text() -> None:
    block = read(type="tool_use", id="t1", name="f", input={"a": "\u00fc", "b": [1]}, caller={"type": "direct"})
    assert block == ToolCall(
        path="here", id="t1", name="f", arguments='{"a":"\u00fc","b":[1]}', extra={"caller": {"type": "direct"}}
    )


def test_a_result_holds_blocks_and_says_whether_it_is_an_error() -> None:
    picture = {"type": "image", "source": {"type": "url", "url": "https://a"}}
    reference = {"type": "tool_reference", "tool_name": "g"}
    content = [{"type": "text", "text": "no"}, picture, reference]
    block = read(type="tool_result", tool_use_id="t1", content=content, is_error=True, cache_control=MARK)
    assert block == ToolResult(
        path="here",
        id="t1",
        error=True,
        cache=MARK,
        content=[
            Text(path="here.content[0]", text="no"),
            Media(path="here.content[1]", kind="image", url="https://a"),
            Opaque(
                path="here.content[2]",
                dialect="messages",
                kind="tool_reference",
                value=reference,
                words="The tool g can be called now.",
            ),
        ],
    )
    assert read(type="tool_result", tool_use_id="t1") == ToolResult(path="here", id="t1", content=[])


def test_thinking_keeps_its_signature() -> None:
    assert read(type="thinking", thinking="hm", signature="s=") == Thinking(
        path="here", text="hm", dialect="messages", signature="s="
    )
    assert read(type="redacted_thinking", data="d=") == Thinking(
        path="here", text="", dialect="messages", encrypted="d=", redacted=True
    )


@pytest.mark.parametrize(
    "kind",
    ["server_tool_use", "web_search_tool_result", "container_upload", "search_result", "mcp_tool_use", "new"],
)
def test_blocks_that_only_messages_has_stand_for_themselves(kind: str) -> None:
    value = {"type": kind, "id": "x", "content": [1, None]}
    assert read(**value) == Opaque(path="here", dialect="messages", kind=kind, value=value)


@pytest.mark.parametrize(
    ("block", "path"),
    [
        ({}, "here.type"),
        ({"type": 5}, "here.type"),
        ({"type": "text"}, "here.text"),
        ({"type": "text", "text": "a", "citations": ["x"]}, "here.citations[0]"),
        ({"type": "image"}, "here.source"),
        ({"type": "image", "source": {"type": "tape"}}, "here.source.type"),
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png"}}, "here.source.data"),
        ({"type": "image", "source": {"type": "url", "url": "data:image/png"}}, "here.source.url"),
        ({"type": "document", "source": {"type": "content"}}, "here.source.content"),
        ({"type": "tool_use", "id": "a", "name": "b", "input": "{}"}, "here.input"),
        ({"type": "tool_use", "id": "a", "name": "b"}, "here.input"),
        ({"type": "tool_result", "content": "x"}, "here.tool_use_id"),
        ({"type": "tool_result", "tool_use_id": "a", "content": 5}, "here.content"),
        (
            {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "thinking", "thinking": "x"}]},
            "here.content[0]",
        ),
        ({"type": "redacted_thinking"}, "here.data"),
    ],
    ids=repr,
)
def test_what_is_wrong_is_named_by_its_path(block: dict[str, Any], path: str) -> None:
    message, param = complaint(**block)
    assert param == path and message.startswith(path)


def test_nothing_but_text_stands_in_a_system_prompt() -> None:
    with pytest.raises(BadRequest, match=r"here\[0\] must be text"):
        only_texts(decode_content([{"type": "container_upload"}], "here"))
