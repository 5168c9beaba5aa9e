from __future__ import annotations

import base64

import pytest

from llmproxy.dialects.media_data import decode_data_url, decode_sound, encode_data_url, encode_sound, set_file_data
from llmproxy.dialects.members import Members
from llmproxy.dialects.model import Media
from llmproxy.errors import BadRequest


@pytest.mark.parametrize(
    ("url", "media_type", "content"),
    [
        ("data:image/png;base64,iVBORw==", "image/png", b"\x89PNG"),
        ("DATA:IMAGE/PNG;name=a;BASE64,iVBORw==", "image/png", b"\x89PNG"),
        ("data:text/plain,a%20b%C3%BC", "text/plain", "a bü".encode()),
        ("data:,x", None, b"x"),
    ],
)
def test_a_url_is_read_with_its_type(url: str, media_type: str | None, content: bytes) -> None:
    found_type, data = decode_data_url(url, "p")
    assert (found_type, base64.b64decode(data)) == (media_type, content)


def test_a_url_without_data_is_refused_with_its_path() -> None:
    with pytest.raises(BadRequest) as refused:
        decode_data_url("data:image/png;base64", "input[0].content[1].image_url")
    assert refused.value.param == "input[0].content[1].image_url"


def test_what_is_written_is_read_back() -> None:
    assert decode_data_url(encode_data_url("a/b", "QQ=="), "p") == ("a/b", "QQ==")
    assert encode_data_url(None, "QQ==").startswith("data:application/octet-stream;base64,")


@pytest.mark.parametrize("name", ["mp3", "wav", "flac"])
def test_a_sound_keeps_its_format(name: str) -> None:
    part = {"input_audio": {"data": "QQ==", "format": name}}
    media = decode_sound(Members(part, "p"))
    assert encode_sound(media) == {"type": "input_audio", **part}


def test_a_file_without_a_media_type_gets_that_of_its_name() -> None:
    media = Media(kind="document", name="a.pdf")
    assert not set_file_data(media, "QQ==", "p") and (media.media_type, media.data) == ("application/pdf", "QQ==")
    assert set_file_data(media, "data:text/plain;base64,QQ==", "p") and media.media_type == "text/plain"
