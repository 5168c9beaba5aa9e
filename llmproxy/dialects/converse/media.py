"""Images, documents, sounds and videos: bytes (base64 on the wire), or text for documents.

Media at an S3 location can be fetched by Bedrock alone: they are kept as they stand. Source: the shapes `ImageBlock`,
`DocumentBlock`, `AudioBlock` and `VideoBlock`. Begin reading at `decode_media` and `encode_media`.
"""

from __future__ import annotations

import re
from typing import Any

from llmproxy.dialects.cited_documents import put_document_options
from llmproxy.dialects.converse.tables import FORMATS, MEDIA_TYPES, SPELLINGS, MediaKind
from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.extra import nested_extra
from llmproxy.dialects.members import Members
from llmproxy.dialects.model import Block, Media, Opaque

_LONGEST_NAME = 200
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9\s\-()\[\]]")
_SPACE = re.compile(r"\s+")
# How the base64 of files begins, for files without a type.
_BEGINNINGS = {
    "/9j/": "image/jpeg",
    "iVBORw0KGgo": "image/png",
    "R0lGOD": "image/gif",
    "UklGR": "image/webp",
    "JVBERi": "application/pdf",
}


def decode_media(block: Members, kind: MediaKind) -> Block:
    """Return the block in the member `kind` of `block`; `Opaque` where it stands at an S3 location."""
    media = Members(block.rest[kind], block.at(kind))
    source = Members(media.any("source"), media.at("source"))
    if "s3Location" in source.rest:
        return Opaque(path=block.path, dialect="converse", kind=f"{kind} at an S3 location", value=block.rest)
    name = media.text("format")
    decoded = Media(path=media.path, kind=kind, name=media.text("name") if kind == "document" else None)
    if name is not None:
        decoded.media_type = MEDIA_TYPES[kind].get(name, f"{'application' if kind == 'document' else kind}/{name}")
    text = source.text("text") if kind == "document" else None
    if text is not None:
        decoded.text = text
    elif kind == "document" and isinstance(source.rest.get("content"), list):
        decoded.text = "\n\n".join(each.needed_text("text") for each in source.objects("content"))
        decoded.extra = {"source": Members(block.rest[kind]).rest["source"]}
    else:
        decoded.data = source.needed_text("bytes")
    decoded.extra |= nested_extra(media, source)
    if name is not None and FORMATS[kind].get(decoded.media_type or "") != name:
        decoded.extra["~format"] = name  # of two formats of one type the other
    return decoded


def encode_media(media: Media, context: EncodeContext) -> dict[str, Any]:
    """Return the block of an image, a document, a sound or a video. Raises BadRequest for what cannot be sent."""
    members = _encode_own(media) if context.own else _encode_members(media, context)
    context.put_extra(members, put_document_options(members, media, context))
    return {media.kind: members}


def _encode_members(media: Media, context: EncodeContext) -> dict[str, Any]:
    if media.detail is not None:
        context.drop(media.where("detail"))
    if media.kind != "document" and media.name is not None:
        context.drop(media.where("name"))
    if media.file_id is not None or (media.data is None and media.text is None):
        context.refuse(media.path, f"{_the(media)} must be sent inside a Converse request, as bytes")
    members: dict[str, Any] = {"format": _format(media, context)}
    if media.kind == "document":
        members["name"] = document_name(media.name)
    members["source"] = {"bytes": media.data} if media.text is None else {"text": media.text}
    return members


def _encode_own(media: Media) -> dict[str, Any]:
    name = FORMATS[media.kind].get(media.media_type or "")
    members: dict[str, Any] = {} if name is None else {"format": name}
    if media.name is not None:
        members["name"] = media.name
    members["source"] = {"bytes": media.data} if media.text is None else {"text": media.text}
    return members


def _format(media: Media, context: EncodeContext) -> str:
    media_type = (media.media_type or "").partition(";")[0].strip().lower()
    if not media_type or media_type == "application/octet-stream":
        data = media.data or ""
        media_type = next((kind for start, kind in _BEGINNINGS.items() if data.startswith(start)), "")
    name = FORMATS[media.kind].get(SPELLINGS.get(media_type, media_type))
    if name is None and media.kind == "document" and (media.text is not None or media_type.startswith("text/")):
        name = "txt"
    if name is None:
        accepted = ", ".join(dict.fromkeys(FORMATS[media.kind].values()))
        of_type = f"of type {media_type}" if media_type else "without a media type"
        context.refuse(
            media.path, f"{_the(media)} {of_type} cannot be sent to a Converse API, which takes the formats {accepted}"
        )
    return name


def _the(media: Media) -> str:
    return media.kind.capitalize() if media.kind == "audio" else f"{media.kind.capitalize()}s"


def document_name(name: str | None) -> str:
    """Return a name in the alphabet of Bedrock: letters, digits, single spaces, hyphens, brackets."""
    fitting = _SPACE.sub(" ", _NOT_IN_NAMES.sub(" ", name or "")).strip()[:_LONGEST_NAME].strip()
    return fitting or "document"


def unique_documents(content: list[dict[str, Any]], taken: set[str]) -> None:
    """Number the documents of a content whose names are `taken`: Bedrock refuses two of one name."""
    for block in content:
        document = block.get("document")
        if document is not None:
            name, number = document["name"], 1
            while document["name"] in taken:
                number += 1
                document["name"] = f"{name[: _LONGEST_NAME - 6]} {number}"
            taken.add(document["name"])
        if "toolResult" in block:
            unique_documents(block["toolResult"]["content"], taken)
