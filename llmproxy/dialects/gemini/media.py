"""Images, sounds, videos and documents: `inlineData` (base64) and `fileData` (a URI), decoded and encoded.

Source: `Blob` and `FileData`. Files that were uploaded to Google are named by URI, as all others are.
"""

from __future__ import annotations

import base64
from mimetypes import guess_type
from typing import Any

import msgspec

from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.extra import nested_extra
from llmproxy.dialects.media_data import is_data_url, set_url
from llmproxy.dialects.members import Members
from llmproxy.dialects.model import Media

_KINDS: dict[str, Any] = {"image": "image", "audio": "audio", "video": "video"}
_UPLOADED = ("https://generativelanguage.googleapis.com/", "files/", "gs://")
_TYPES = {"image": "image/jpeg", "audio": "audio/wav", "video": "video/mp4", "document": "application/pdf"}
_BEGINNINGS = {
    "/9j/": "image/jpeg",
    "iVBORw0KGgo": "image/png",
    "R0lGOD": "image/gif",
    "UklGR": "image/webp",
    "JVBERi": "application/pdf",
}
"""How the base64 of files begins, for files without a type."""
_URL_SAFE = str.maketrans("-_", "+/")


def decode_inline(part: Members, blob: Members) -> Media:
    """Return the media in `inlineData`. The SDK writes base64 for URLs, which others do not read."""
    media_type, data = blob.text("mimeType"), blob.needed_text("data")
    media = Media(path=part.path, kind=_kind_of(media_type), media_type=media_type, data=data.translate(_URL_SAFE))
    media.name = blob.text("displayName")
    media.extra = nested_extra(part, blob)
    if media.data != data:
        media.extra["~data"] = data
    return media


def decode_file(part: Members, file: Members) -> Media:
    """Return the media in `fileData`: an upload of Google's, or what can be fetched by URL."""
    media_type, uri = file.text("mimeType"), file.needed_text("fileUri")
    media = Media(path=part.path, kind=_kind_of(media_type or guess_type(uri)[0]), media_type=media_type)
    if uri.startswith(_UPLOADED):
        media.file_id = uri
    elif is_data_url(uri):
        set_url(media, uri, file.at("fileUri"))
    else:
        media.url = uri
    media.name = file.text("displayName")
    media.extra = nested_extra(part, file)
    return media


def _kind_of(media_type: str | None) -> Any:
    return _KINDS.get((media_type or "").partition("/")[0].lower(), "document")


def encode_media(media: Media, context: EncodeContext) -> dict[str, Any]:
    """Return the part of an image, a sound, a video or a document, without its `extra`."""
    if media.detail is not None:
        context.drop(media.where("detail"))
    members: dict[str, Any] = {}
    if media.text is not None:
        data = base64.b64encode(media.text.encode("utf-8", "replace")).decode()
        media = msgspec.structs.replace(media, media_type="text/plain", data=data)
    media_type = (media.media_type or "").partition(";")[0].strip() or _guess(media)
    if media.data is not None:
        kind, members = "inlineData", {"mimeType": media_type, "data": media.extra.get("~data", media.data)}
    else:
        kind, members = "fileData", {"fileUri": media.url or media.file_id or ""}
        if media_type and (media.media_type or not context.own):
            members["mimeType"] = media_type
        if media.file_id is not None and not media.file_id.startswith(_UPLOADED):
            context.refuse(media.path, "A file that was uploaded to another provider cannot be read by a Gemini API")
    if media.name is not None:
        members["displayName"] = media.name
    return {kind: members}


def _guess(media: Media) -> str:
    """Return the type of media that came without one, which the vendor refuses."""
    data = media.data or ""
    found = next((kind for beginning, kind in _BEGINNINGS.items() if data.startswith(beginning)), None)
    return found or guess_type(media.name or media.url or "")[0] or _TYPES[media.kind]
