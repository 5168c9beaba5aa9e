"""Parts of a message's content, read."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.chat.content import decode_content
from llmproxy.dialects.content import only_texts
from llmproxy.dialects.model import Media, Opaque, Refusal, Text
from llmproxy.errors import BadRequest

PNG = "data:image/png;base64,iVBORw0KGgo="
PDF = "data:application/pdf;base64,JVBERg=="


def part(**members: Any) -> Any:
    return decode_content([members], "content")[0]


def test_a_string_is_one_text() -> None:
    assert decode_content("Hi", "content") == [Text(path="content", text="Hi")]


def test_a_text_keeps_its_cache_mark_and_its_other_members() -> None:
    point = {"mode": "explicit"}
    text = part(type="text", text="Hi", cache_control={"type": "ephemeral"}, prompt_cache_breakpoint=point)
    assert text == Text(
        path="content[0]", text="Hi", cache={"type": "ephemeral"}, extra={"prompt_cache_breakpoint": point}
    )


def test_an_image_is_data_or_a_link() -> None:
    inline = part(type="image_url", image_url={"url": PNG, "detail": "low"})
    assert (inline.kind, inline.media_type, inline.data, inline.detail) == ("image", "image/png", "iVBORw0KGgo=", "low")
    linked = part(type="image_url", image_url={"url": "https://x/y.png", "size": 1})
    assert linked == Media(path="content[0]", kind="image", url="https://x/y.png", extra={"image_url": {"size": 1}})
    assert part(type="image_url", image_url="https://x/y.png").url == "https://x/y.png"


def test_a_video_is_a_link() -> None:
    assert part(type="video_url", video_url={"url": "https://x/y.mp4"}).kind == "video"


@pytest.mark.parametrize(("form", "media_type"), [("wav", "audio/wav"), ("mp3", "audio/mpeg"), ("flac", "audio/flac")])
def test_a_sound_has_a_media_type(form: str, media_type: str) -> None:
    sound = part(type="input_audio", input_audio={"data": "UklGRg==", "format": form})
    assert (sound.kind, sound.data, sound.media_type) == ("audio", "UklGRg==", media_type)


def test_a_file_is_a_document() -> None:
    file = part(type="file", file={"file_data": PDF, "filename": "a.pdf"})
    assert (file.kind, file.media_type, file.data, file.name) == ("document", "application/pdf", "JVBERg==", "a.pdf")
    assert part(type="file", file={"file_id": "file-1"}).file_id == "file-1"
    bare = part(type="file", file={"file_data": "JVBERg==", "filename": "a.pdf"})
    assert (bare.media_type, bare.data) == ("application/pdf", "JVBERg==")


def test_a_refusal_is_one() -> None:
    assert part(type="refusal", refusal="No") == Refusal(path="content[0]", text="No")


def test_an_unknown_part_is_kept_whole() -> None:
    value = {"type": "hologram", "size": 5, "none": None}
    assert part(**value) == Opaque(path="content[0]", dialect="chat", kind="hologram", value=value)


@pytest.mark.parametrize(
    ("content", "path"),
    [
        (None, "content"),
        (5, "content"),
        ({}, "content"),
        (["a"], "content[0]"),
        ([{}], "content[0].type"),
        ([{"type": 5}], "content[0].type"),
        ([{"type": "text"}], "content[0].text"),
        ([{"type": "text", "text": 5}], "content[0].text"),
        ([{"type": "image_url"}], "content[0].image_url"),
        ([{"type": "image_url", "image_url": {}}], "content[0].image_url.url"),
        ([{"type": "image_url", "image_url": {"url": "data:image/png;base64"}}], "content[0].image_url.url"),
        ([{"type": "input_audio", "input_audio": {"format": "wav"}}], "content[0].input_audio.data"),
        ([{"type": "file", "file": {}}], "content[0].file"),
        ([{"type": "file", "file": {"file_data": "data:nothing"}}], "content[0].file.file_data"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named(content: Any, path: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode_content(content, "content")
    assert caught.value.param == path


def test_only_text_stands_where_only_text_may() -> None:
    assert only_texts(decode_content("a", "content")) == [Text(path="content", text="a")]
    with pytest.raises(BadRequest) as caught:
        only_texts(decode_content([{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "a"}], "content"))
    assert caught.value.param == "content[1]"
