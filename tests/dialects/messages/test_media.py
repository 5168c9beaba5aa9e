"""Images and documents as messages has them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.messages.media import encode_media
from llmproxy.dialects.model import Media
from llmproxy.errors import Untranslatable


def write(*, own: bool = False, **members: Any) -> dict[str, Any]:
    return encode_media(Media(path="here", **members), EncodeContext(own=own, losses=Losses(strict=True)))


@pytest.mark.parametrize(
    ("members", "source"),
    [
        ({"media_type": "image/png", "data": "AA=="}, {"type": "base64", "media_type": "image/png", "data": "AA=="}),
        ({"media_type": "IMAGE/JPG", "data": "AA=="}, {"type": "base64", "media_type": "image/jpeg", "data": "AA=="}),
        ({"data": "/9j/4A=="}, {"type": "base64", "media_type": "image/jpeg", "data": "/9j/4A=="}),
        ({"url": "https://a/b.png"}, {"type": "url", "url": "https://a/b.png"}),
        ({"file_id": "file_1"}, {"type": "file", "file_id": "file_1"}),
    ],
)
def test_an_image_from_each_source(members: dict[str, Any], source: dict[str, Any]) -> None:
    assert write(kind="image", **members) == {"type": "image", "source": source}


TEXT = "f\u00fcr"
ENCODED = base64.b64encode(TEXT.encode()).decode()


@pytest.mark.parametrize(
    ("members", "source"),
    [
        (
            {"media_type": "application/pdf", "data": "AA=="},
            {"type": "base64", "media_type": "application/pdf", "data": "AA=="},
        ),
        (
            {"media_type": "application/octet-stream", "data": "JVBERi0="},
            {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
        ),
        ({"text": TEXT}, {"type": "text", "media_type": "text/plain", "data": TEXT}),
        (
            {"media_type": "text/markdown; charset=utf-8", "data": ENCODED},
            {"type": "text", "media_type": "text/plain", "data": TEXT},
        ),
        (
            {"media_type": "application/ld+json", "data": ENCODED},
            {"type": "text", "media_type": "text/plain", "data": TEXT},
        ),
        ({"url": "https://a/b.pdf"}, {"type": "url", "url": "https://a/b.pdf"}),
    ],
)
def test_a_document_from_each_source_with_its_title(members: dict[str, Any], source: dict[str, Any]) -> None:
    assert write(kind="document", name="T", **members) == {"type": "document", "source": source, "title": "T"}


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"kind": "audio", "data": "AA=="}, "Audio"),
        ({"kind": "video", "url": "https://a"}, "Video"),
        ({"kind": "image", "media_type": "image/svg+xml", "data": "AA=="}, "type image/svg[+]xml"),
        ({"kind": "image", "data": "AAAA"}, "without a media type"),
        ({"kind": "image", "url": "gs://bucket/a.png"}, "http"),
        ({"kind": "document", "media_type": "application/msword", "data": "AA=="}, "type application/msword"),
        ({"kind": "document", "media_type": "text/plain", "data": "/w=="}, "UTF-8"),
        ({"kind": "document", "media_type": "text/plain", "data": "!"}, "UTF-8"),
    ],
    ids=repr,
)
def test_what_has_no_place_is_refused_by_name(members: dict[str, Any], said: str) -> None:
    with pytest.raises(Untranslatable, match=said) as raised:
        write(**members)
    assert raised.value.param == "here"


def test_how_an_image_is_to_be_seen_and_its_name_are_dropped() -> None:
    losses = Losses()
    media = Media(path="here", kind="image", url="https://a", detail="high", name="n")
    encode_media(media, EncodeContext(own=False, losses=losses))
    assert losses.dropped == ["here.detail", "here.name"]


def test_what_a_messages_client_sent_stays_as_it_was() -> None:
    source = {"type": "base64", "media_type": "image/new", "data": "AAAA"}
    assert write(own=True, kind="image", media_type="image/new", data="AAAA")["source"] == source
