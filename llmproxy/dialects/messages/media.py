"""Images and documents, encoded as blocks. Messages have no blocks for audio and video.

Source: the SDK's `image_block_param` and `document_block_param`. Begin reading at `encode_media`.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.model import Media

_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_PDF = "application/pdf"
_SPELLINGS = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "application/x-pdf": _PDF}
# How the base64 of files begins, for files without a type.
_BEGINNINGS = {"/9j/": "image/jpeg", "iVBORw0KGgo": "image/png", "R0lGOD": "image/gif", "UklGR": "image/webp"} | {
    "JVBERi": _PDF
}
_TEXTS = ("application/json", "application/xml", "application/yaml", "application/x-yaml", "application/javascript")


def encode_media(media: Media, context: EncodeContext) -> dict[str, Any]:
    """Return the block of an image or a document, without what all blocks may have. Raises BadRequest for others."""
    if media.kind == "audio" or media.kind == "video":
        reason = f"{media.kind.capitalize()} cannot be sent to a Messages API, which takes images and documents"
        context.refuse(media.path, reason)
    if media.detail is not None:
        context.drop(media.where("detail"))
    block: dict[str, Any] = {"type": media.kind, "source": _encode_source(media, context)}
    if media.name is not None:
        if media.kind == "document":
            block["title"] = media.name
        else:
            context.drop(media.where("name"))
    return block


def _encode_source(media: Media, context: EncodeContext) -> dict[str, Any]:
    if media.text is not None:
        return {"type": "text", "media_type": "text/plain", "data": media.text}
    if media.file_id is not None:
        return {"type": "file", "file_id": context.file_id_of(media)}
    if media.url is not None:
        if not context.own and not media.url[:8].lower().startswith(("https://", "http://")):
            context.refuse(media.path, f"A Messages API takes http(s) URLs, not {media.url[:20]!r}")
        return {"type": "url", "url": media.url}
    data = media.data or ""
    if context.own:
        return {"type": "base64", "media_type": media.media_type, "data": data}
    return _encode_data(media, _type_of(media, data), data, context)


def _type_of(media: Media, data: str) -> str | None:
    name = (media.media_type or "").partition(";")[0].strip().lower()
    if name and name != "application/octet-stream":
        return _SPELLINGS.get(name, name)
    return next((kind for beginning, kind in _BEGINNINGS.items() if data.startswith(beginning)), None)


def _encode_data(media: Media, media_type: str | None, data: str, context: EncodeContext) -> dict[str, Any]:
    """Return the source of what is sent as base64."""
    if media_type in (_IMAGES if media.kind == "image" else (_PDF,)):
        return {"type": "base64", "media_type": media_type, "data": data}
    if media.kind == "document" and media_type is not None and _is_text(media_type):
        text = _decode_text(data)
        if text is None:
            context.refuse(media.path, f"A document of type {media_type} must be text in UTF-8, as base64")
        return {"type": "text", "media_type": "text/plain", "data": text}
    accepted = "images in JPEG, PNG, GIF and WebP" if media.kind == "image" else "documents in PDF and plain text"
    of_type = f"of type {media_type}" if media_type else "without a media type"
    context.refuse(
        media.path, f"{media.kind.capitalize()}s {of_type} cannot be sent to a Messages API, which takes {accepted}"
    )


def _is_text(media_type: str) -> bool:
    return media_type.startswith("text/") or media_type in _TEXTS or media_type.endswith(("+json", "+xml"))


def _decode_text(data: str) -> str | None:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError):
        return None
