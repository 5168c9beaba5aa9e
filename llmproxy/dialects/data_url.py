"""`data:` URLs (RFC 2397), in which several dialects carry images and files."""

from __future__ import annotations

import base64
from urllib.parse import unquote_to_bytes

from llmproxy.dialects.members import wrong


def read_data_url(url: str, path: str) -> tuple[str | None, str]:
    """The media type and the base64 of a `data:` URL that stands at the JSON path `path`. Raises BadRequest."""
    head, comma, data = url.partition(",")
    if not comma:
        wrong(path, "must have a comma between the media type and the data")
    media_type, *parameters = head[5:].split(";")
    if not any(parameter.strip().lower() == "base64" for parameter in parameters):
        data = base64.b64encode(unquote_to_bytes(data.encode("utf-8", "surrogatepass"))).decode()
    return media_type.strip().lower() or None, data


def write_data_url(media_type: str | None, data: str) -> str:
    """The URL that holds `data` (base64)."""
    return f"data:{media_type or 'application/octet-stream'};base64,{data}"
