"""Images, documents, sounds and videos, both ways."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.converse.content import decode_block
from llmproxy.dialects.converse.media import document_name, encode_media, unique_documents
from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.members import Members
from llmproxy.dialects.model import Media, Opaque
from llmproxy.errors import Untranslatable


def decoded(**block: Any) -> Any:
    return decode_block(Members(block, "p"))


def encoded(media: Media, losses: Losses | None = None) -> dict[str, Any]:
    return encode_media(media, EncodeContext(losses=losses or Losses()))


@pytest.mark.parametrize(
    ("kind", "name", "media_type"),
    [
        ("image", "jpeg", "image/jpeg"),
        ("document", "md", "text/markdown"),
        ("video", "three_gp", "video/3gpp"),
        ("audio", "mp3", "audio/mpeg"),
    ],
)
def test_a_format_is_a_media_type(kind: str, name: str, media_type: str) -> None:
    more = {"name": "notes"} if kind == "document" else {}
    block = {kind: {"format": name, **more, "source": {"bytes": "AAAA"}}}
    media = decoded(**block)
    assert (media.kind, media.media_type, media.data) == (kind, media_type, "AAAA")
    assert encoded(media) == block


def test_of_two_names_of_a_format_the_own_one_goes_back() -> None:
    block = {"audio": {"format": "mpga", "source": {"bytes": "AAAA"}}}
    media = decoded(**block)
    assert encode_media(media, EncodeContext(losses=Losses(), own=True)) == block
    assert encoded(media)["audio"]["format"] == "mp3"


def test_media_at_an_s3_location_stay_as_they_are() -> None:
    block = {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://bucket/a.png"}}}}
    media = decoded(**block)
    assert isinstance(media, Opaque) and media.value == block and "S3" in media.kind


def test_a_document_may_be_text_or_pieces_of_text() -> None:
    text = decoded(document={"name": "n", "source": {"text": "Hi"}})
    assert (text.text, text.name, encoded(text)["document"]["format"]) == ("Hi", "n", "txt")
    chunks = {"name": "n", "source": {"content": [{"text": "a"}, {"text": "b"}]}}
    media = decoded(document=chunks)
    assert media.text == "a\n\nb"
    assert encode_media(media, EncodeContext(losses=Losses(), own=True)) == {"document": chunks}


def test_a_file_without_a_type_is_known_by_its_beginning() -> None:
    assert encoded(Media(kind="image", data="/9j/4AAQ"))["image"]["format"] == "jpeg"
    assert encoded(Media(kind="document", data="JVBERi0x"))["document"]["format"] == "pdf"
    assert encoded(Media(kind="image", data="AAAA", media_type="image/jpg"))["image"]["format"] == "jpeg"


@pytest.mark.parametrize(
    ("media", "words"),
    [
        (Media(path="p", kind="image", url="https://x/y.png"), "inside a Converse request"),
        (Media(path="p", kind="document", file_id="file-1"), "inside a Converse request"),
        (Media(path="p", kind="image", data="AAAA", media_type="image/tiff"), "of type image/tiff"),
        (Media(path="p", kind="audio", data="AAAA"), "Audio without a media type"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_its_path(media: Media, words: str) -> None:
    with pytest.raises(Untranslatable, match=words) as refused:
        encoded(media)
    assert refused.value.param == "p"


def test_what_only_others_say_of_media_is_listed() -> None:
    losses = Losses()
    encoded(Media(path="p", kind="image", data="AAAA", media_type="image/png", detail="high", name="n"), losses)
    assert losses.dropped == ["p.detail", "p.name"]


@pytest.mark.parametrize(
    ("name", "fitting"),
    [
        ("minutes.pdf", "minutes pdf"),
        (None, "document"),
        ("…", "document"),
        ("a  b\tc", "a b c"),
        ("x" * 300, "x" * 200),
    ],
)
def test_a_name_of_a_document_is_in_the_vendors_alphabet(name: str | None, fitting: str) -> None:
    assert document_name(name) == fitting


def test_documents_of_one_name_are_numbered() -> None:
    content: list[dict[str, Any]] = [
        {"document": {"name": "a"}},
        {"toolResult": {"content": [{"document": {"name": "a"}}]}},
        {"document": {"name": "a"}},
    ]
    unique_documents(content, set())
    assert content[0]["document"]["name"] == "a" and content[2]["document"]["name"] == "a 3"
    assert content[1]["toolResult"]["content"][0]["document"]["name"] == "a 2"
