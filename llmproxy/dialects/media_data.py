"""Images, sounds and files inside JSON: `data:` URLs (RFC 2397), sounds by the name of their format, names of files."""

from __future__ import annotations

import base64
from mimetypes import guess_extension, guess_type
from typing import Any
from urllib.parse import unquote_to_bytes

from llmproxy.dialects.cache_marks import take_mark
from llmproxy.dialects.extra import nested_extra
from llmproxy.dialects.members import Members, wrong
from llmproxy.dialects.model import Media

_SOUNDS = (("mp3", "audio/mpeg"), ("wav", "audio/wav"))
"""Formats of `input_audio` whose media type is not `audio/` and their name."""
_SOUND_TYPES = dict(_SOUNDS)
_SOUND_FORMATS = {media_type: name for name, media_type in _SOUNDS} | {"audio/x-wav": "wav", "audio/mp3": "mp3"}


def decode_data_url(url: str, path: str) -> tuple[str | None, str]:
    """Return the media type and the base64 of a `data:` URL at the JSON path `path`. Raises BadRequest."""
    head, comma, data = url.partition(",")
    if not comma:
        wrong(path, "must have a comma between the media type and the data")
    media_type, *parameters = head[5:].split(";")
    if not any(parameter.strip().lower() == "base64" for parameter in parameters):
        data = base64.b64encode(unquote_to_bytes(data.encode("utf-8", "surrogatepass"))).decode()
    return media_type.strip().lower() or None, data


def encode_data_url(media_type: str | None, data: str) -> str:
    """Return the URL that holds `data` (base64)."""
    return f"data:{media_type or 'application/octet-stream'};base64,{data}"


def is_data_url(url: str) -> bool:
    """Return whether `url` holds the data itself."""
    return url[:5].lower() == "data:"


def set_url(media: Media, url: str, path: str) -> None:
    """Set the URL of `media`, or the data that the URL at the JSON path `path` holds."""
    if is_data_url(url):
        media.media_type, media.data = decode_data_url(url, path)
    else:
        media.url = url


def set_file_data(media: Media, data: str, path: str) -> bool:
    """Set the data of a file, a `data:` URL or base64 alone. Return whether the media type came with it."""
    if is_data_url(data):
        media.media_type, media.data = decode_data_url(data, path)
        return True
    media.media_type, media.data = guess_type(media.name or "")[0], data
    return False


def file_name(media_type: str | None) -> str:
    """Return a name for a file that has none, where an API demands one beside the data."""
    return f"document{guess_extension(media_type or '') or ''}"


SOUND = "input_audio"
"""The part of a sound, and its member."""


def decode_sound(part: Members) -> Media:
    """Return the sound in a part `input_audio`: `data` (base64) and the name of its `format`. Mistral has a string in
    its place: base64, a `data:` URL or another URL."""
    value = part.any(SOUND)
    if isinstance(value, str):
        media = Media(path=part.path, kind="audio", cache=take_mark(part))
        media.extra = part.left() | {f"~{SOUND}": value}
        if is_data_url(value) or "://" in value[:10]:
            set_url(media, value, part.at(SOUND))
        else:
            media.data = value
        return media
    sound = Members(value, part.at(SOUND))
    name = sound.needed_text("format")
    return Media(
        path=part.path,
        kind="audio",
        data=sound.needed_text("data"),
        media_type=_SOUND_TYPES.get(name, f"audio/{name}"),
        cache=take_mark(part),
        extra=nested_extra(part, sound),
    )


def encode_sound(media: Media) -> dict[str, Any]:
    """Return the part `input_audio` of a sound that is given as data."""
    media_type = (media.media_type or "audio/wav").lower()
    name = _SOUND_FORMATS.get(media_type, media_type.rpartition("/")[2])
    return {"type": SOUND, SOUND: {"data": media.data, "format": name}}
