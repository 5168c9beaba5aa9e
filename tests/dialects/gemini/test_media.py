"""Images, sounds, videos and documents."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.gemini.media import decode_file, decode_inline, encode_media
from llmproxy.dialects.gemini.proto_members import ProtoMembers
from llmproxy.dialects.model import Media
from llmproxy.errors import Untranslatable


def written(media: Media) -> Any:
    return encode_media(media, EncodeContext(losses=Losses()))


@pytest.mark.parametrize(
    ("media_type", "kind"),
    [
        ("image/heic", "image"),
        ("audio/wav", "audio"),
        ("video/mp4", "video"),
        ("text/csv", "document"),
        (None, "document"),
    ],
)
def test_the_kind_is_that_of_the_type(media_type: str | None, kind: str) -> None:
    blob = ProtoMembers({"mimeType": media_type, "data": "AAAA"}, "p.inlineData")
    assert decode_inline(ProtoMembers({}, "p"), blob).kind == kind


def test_base64_for_urls_becomes_the_usual_one() -> None:
    media = decode_inline(ProtoMembers({}, "p"), ProtoMembers({"mime_type": "image/png", "data": "-_8="}, "p"))
    assert media.data == "+/8="


@pytest.mark.parametrize(
    ("uri", "url", "file_id"),
    [
        ("https://example.com/a.png", "https://example.com/a.png", None),
        (
            "https://generativelanguage.googleapis.com/v1beta/files/x",
            None,
            "https://generativelanguage.googleapis.com/v1beta/files/x",
        ),
        ("gs://bucket/a.pdf", None, "gs://bucket/a.pdf"),
    ],
)
def test_only_google_reads_what_was_uploaded_there(uri: str, url: str | None, file_id: str | None) -> None:
    media = decode_file(ProtoMembers({}, "p"), ProtoMembers({"fileUri": uri}, "p.fileData"))
    assert (media.url, media.file_id) == (url, file_id)


@pytest.mark.parametrize(
    ("media", "part"),
    [
        (
            Media(kind="image", data="iVBORw0KGgoAA"),
            {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgoAA"}},
        ),
        (
            Media(kind="document", text="grün", name="n.txt"),
            {"inlineData": {"mimeType": "text/plain", "data": "Z3LDvG4=", "displayName": "n.txt"}},
        ),
        (
            Media(kind="image", url="https://a.example/b.webp?c=1", media_type="image/webp; q=1"),
            {"fileData": {"fileUri": "https://a.example/b.webp?c=1", "mimeType": "image/webp"}},
        ),
        (
            Media(kind="document", url="https://a.example/b"),
            {"fileData": {"fileUri": "https://a.example/b", "mimeType": "application/pdf"}},
        ),
    ],
)
def test_media_is_written_with_a_type(media: Media, part: dict[str, Any]) -> None:
    assert written(media) == part


def test_uploads_elsewhere_are_refused() -> None:
    with pytest.raises(Untranslatable, match="another provider"):
        written(Media(path="m", kind="document", file_id="file-abc"))
