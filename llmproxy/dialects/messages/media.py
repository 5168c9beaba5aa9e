"""Writing images and documents as blocks. Sounds and videos have no place in messages.

Source: the SDK's `image_block_param` and `document_block_param`. Begin reading at `write_media`.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from llmproxy.dialects.codec import Losses
from llmproxy.dialects.model import Media

_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_PDF = "application/pdf"
_SPELLINGS = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "application/x-pdf": _PDF}
# How the base64 of files begins whose type nobody named.
_BEGINNINGS = {"/9j/": "image/jpeg", "iVBORw0KGgo": "image/png", "R0lGOD": "image/gif", "UklGR": "image/webp"} | {
    "JVBERi": _PDF
}
_TEXTS = ("application/json", "application/xml", "application/yaml", "application/x-yaml", "application/javascript")
_A = {"audio": "A sound", "video": "A video"}


def write_media(media: Media, *, own: bool, losses: Losses) -> dict[str, Any]:
    """The block of an image or a document, without what all blocks have. Raises BadRequest for what has no place."""
    if media.kind == "audio" or media.kind == "video":
        losses.refuse(
            media.path, f"{_A[media.kind]} cannot be sent to a Messages API, which takes images and documents"
        )
    if media.detail is not None:
        losses.drop(media.where("detail"))
    written: dict[str, Any] = {"type": media.kind, "source": _source(media, own=own, losses=losses)}
    if media.name is not None:
        if media.kind == "document":
            written["title"] = media.name
        else:
            losses.drop(media.where("name"))
    return written


def _source(media: Media, *, own: bool, losses: Losses) -> dict[str, Any]:
    if media.text is not None:
        return {"type": "text", "media_type": "text/plain", "data": media.text}
    if media.file_id is not None:
        return {"type": "file", "file_id": media.file_id}
    if media.url is not None:
        if not own and not media.url[:8].lower().startswith(("https://", "http://")):
            losses.refuse(media.path, f"A Messages API takes http(s) URLs, not {media.url[:20]!r}")
        return {"type": "url", "url": media.url}
    data = media.data or ""
    if own:
        return {"type": "base64", "media_type": media.media_type, "data": data}
    return _inside(media, _type_of(media, data), data, losses)


def _type_of(media: Media, data: str) -> str | None:
    named = (media.media_type or "").partition(";")[0].strip().lower()
    if named and named != "application/octet-stream":
        return _SPELLINGS.get(named, named)
    return next((kind for beginning, kind in _BEGINNINGS.items() if data.startswith(beginning)), None)


def _inside(media: Media, media_type: str | None, data: str, losses: Losses) -> dict[str, Any]:
    """The source of what is sent as base64."""
    if media_type in (_IMAGES if media.kind == "image" else (_PDF,)):
        return {"type": "base64", "media_type": media_type, "data": data}
    if media.kind == "document" and media_type is not None and _is_text(media_type):
        text = _decoded(data)
        if text is None:
            losses.refuse(media.path, f"A document of type {media_type} must be text in UTF-8, as base64")
        return {"type": "text", "media_type": "text/plain", "data": text}
    takes = "images in JPEG, PNG, GIF and WebP" if media.kind == "image" else "documents in PDF and plain text"
    what = (
        f"{media.kind.capitalize()}s of type {media_type}"
        if media_type
        else f"{media.kind.capitalize()}s of unnamed type"
    )
    losses.refuse(media.path, f"{what} cannot be sent to a Messages API, which takes {takes}")


def _is_text(media_type: str) -> bool:
    return media_type.startswith("text/") or media_type in _TEXTS or media_type.endswith(("+json", "+xml"))


def _decoded(data: str) -> str | None:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError):
        return None
