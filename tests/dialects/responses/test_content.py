from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.content import decode_part
from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.members import Members
from llmproxy.dialects.model import Block, Citation, Media, Opaque, Refusal, Text, Thinking
from llmproxy.dialects.responses.content import (
    DECODERS,
    decode_content,
    encode_content,
    encode_output_part,
    encode_part,
)
from llmproxy.errors import BadRequest, Untranslatable


def read(**part: Any) -> Block:
    return decode_part(Members(part, "input[0].content[0]"), DECODERS, "responses")


def sent(block: Block, *, own: bool = False) -> tuple[dict[str, Any], list[str]]:
    losses = Losses()
    return encode_part(block, EncodeContext(own=own, losses=losses)), losses.dropped


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_text", "text": "x"},
        {"type": "input_image", "image_url": "https://h/a.png", "detail": "high"},
        {"type": "input_image", "image_url": "data:image/png;base64,iVBORw==", "detail": "auto"},
        {"type": "input_image", "file_id": "file_1", "detail": "auto"},
        {"type": "input_file", "file_id": "file_1"},
        {"type": "input_file", "file_url": "https://h/a.pdf", "filename": "a.pdf"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,JVBERg==", "filename": "a.pdf"},
        {"type": "input_file", "file_data": "JVBERg==", "filename": "a.pdf"},
        {"type": "input_file", "file_data": "JVBERg=="},
        {"type": "input_image", "image_url": "", "detail": "auto"},
        {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "mp3"}},
        {"type": "input_hologram", "depth": 3},
    ],
)
def test_a_part_comes_back_as_it_was(part: dict[str, Any]) -> None:
    assert sent(read(**part), own=True) == (part, [])


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "input_image"}, "input[0].content[0]"),
        ({"type": "input_file", "filename": "a"}, "input[0].content[0]"),
        ({"type": "input_image", "image_url": "data:image/png"}, "input[0].content[0].image_url"),
        ({"type": "input_text"}, "input[0].content[0].text"),
        ({"text": "x"}, "input[0].content[0].type"),
        ({"type": "input_audio", "input_audio": {"data": "x"}}, "input[0].content[0].input_audio.format"),
    ],
)
def test_what_is_wrong_is_refused_with_its_path(part: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read(**part)
    assert refused.value.param == param


@pytest.mark.parametrize("content", [None, 5, {"a": 1}])
def test_content_is_a_string_or_parts(content: object) -> None:
    with pytest.raises(BadRequest):
        decode_content(content, "input[0].content")


def test_a_file_without_a_type_takes_that_of_its_name() -> None:
    block = read(type="input_file", file_data="JVBERg==", filename="a.pdf")
    assert isinstance(block, Media) and (block.media_type, block.data) == ("application/pdf", "JVBERg==")


def test_a_nameless_document_of_others_gets_a_name() -> None:
    document = Media(path="p", kind="document", media_type="application/pdf", data="JVBERg==")
    assert sent(document)[0]["filename"] == "document.pdf"
    text = Media(path="p", kind="document", media_type="text/plain", text="words", name="a.txt")
    assert "words" in str(sent(text)[0])


@pytest.mark.parametrize(
    "block",
    [
        Media(path="p", kind="video", url="https://h"),
        Media(path="p", kind="audio", url="https://h"),
        Opaque(path="p", dialect="messages", kind="search_result", value={}),
        Thinking(path="p", text="hm", dialect="chat"),
    ],
)
def test_what_the_user_cannot_send_here_is_refused(block: Block) -> None:
    with pytest.raises(Untranslatable) as refused:
        sent(block)
    assert refused.value.param == "p"


def test_one_plain_text_is_a_string() -> None:
    assert encode_content([Text(text="x")], EncodeContext(own=False, losses=Losses())) == "x"
    assert encode_content([], EncodeContext(own=False, losses=Losses())) == ""
    several = encode_content([Text(text="x"), Text(text="y")], EncodeContext(own=False, losses=Losses()))
    assert several == [{"type": "input_text", "text": "x"}, {"type": "input_text", "text": "y"}]


def test_cache_marks_and_citations_of_what_the_user_says_are_listed() -> None:
    text = Text(path="p", text="x", cache={"type": "ephemeral"}, annotations=[Citation(path="p.citations[0]", url="u")])
    assert sent(text) == ({"type": "input_text", "text": "x"}, ["p.citations[0]", "p.cache_control"])


def test_what_the_model_said_keeps_its_citations() -> None:
    losses = Losses()
    text = Text(
        text="abc", annotations=[Citation(url="https://h", title="t", quote="q"), Citation(file_id="f"), Citation()]
    )
    part = encode_output_part(text, EncodeContext(own=False, losses=losses))
    assert part["annotations"][0] == {
        "type": "url_citation",
        "url": "https://h",
        "title": "t",
        "start_index": 0,
        "end_index": 3,
    }
    assert part["annotations"][1]["type"] == "file_citation" and len(part["annotations"]) == 2
    assert losses.dropped == ["reply.citation.quote", "reply.citation"]
    assert encode_output_part(Refusal(text="no"), EncodeContext(own=False, losses=losses)) == {
        "type": "refusal",
        "refusal": "no",
    }


@pytest.mark.parametrize(
    "note",
    [
        {"type": "url_citation", "url": "https://h", "title": "t", "start_index": 0, "end_index": 3},
        {"type": "file_citation", "file_id": "f", "filename": "a.pdf", "index": 2},
        {"type": "file_path", "file_id": "f", "index": 2},
        {
            "type": "container_file_citation",
            "container_id": "c",
            "file_id": "f",
            "filename": "a.pdf",
            "start_index": 1,
            "end_index": 3,
        },
    ],
    ids=lambda note: note["type"],
)
def test_a_citation_of_any_type_comes_back_as_it_was(note: dict[str, Any]) -> None:
    part = {"type": "output_text", "text": "abc", "annotations": [note]}
    said, losses = read(**part), Losses()
    assert isinstance(said, Text) and encode_output_part(said, EncodeContext(own=True, losses=losses)) == part
    assert losses.dropped == []


def test_what_a_citation_of_others_says_beside_its_place_is_listed() -> None:
    quoted = Citation(path="messages[0].citations[0]", url="https://h", quote="q", extra={"index": 1})
    losses = Losses()
    encode_output_part(Text(text="a", annotations=[quoted]), EncodeContext(own=False, losses=losses))
    assert losses.dropped == ["messages[0].citations[0].index", "messages[0].citations[0]"]


def test_a_file_whose_url_holds_it_is_read() -> None:
    part = Members({"type": "input_file", "file_url": "data:application/pdf;base64,AAAA"}, "p")
    media = decode_part(part, DECODERS, "responses")
    assert isinstance(media, Media) and (media.media_type, media.data, media.url) == ("application/pdf", "AAAA", None)
