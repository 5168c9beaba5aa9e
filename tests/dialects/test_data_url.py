from __future__ import annotations

import base64

import pytest

from llmproxy.dialects.data_url import read_data_url, write_data_url
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
    found, data = read_data_url(url, "p")
    assert (found, base64.b64decode(data)) == (media_type, content)


def test_a_url_without_data_is_refused_with_its_place() -> None:
    with pytest.raises(BadRequest) as refused:
        read_data_url("data:image/png;base64", "input[0].content[1].image_url")
    assert refused.value.param == "input[0].content[1].image_url"


def test_what_is_written_is_read_back() -> None:
    assert read_data_url(write_data_url("a/b", "QQ=="), "p") == ("a/b", "QQ==")
    assert write_data_url(None, "QQ==").startswith("data:application/octet-stream;base64,")
