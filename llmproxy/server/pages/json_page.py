"""Write the JSON of our own pages: indented, and never to be cached."""

from __future__ import annotations

import msgspec

from llmproxy.answer import Answer, Headers
from llmproxy.server.secure_headers import SECURE_HEADERS


def json_page(content: object, *, status: int = 200) -> Answer:
    """Return `content` as a page. Values that JSON lacks are written as their text."""
    body = msgspec.json.format(msgspec.json.encode(content, enc_hook=str), indent=2) + b"\n"
    return Answer(status=status, headers=page_headers("application/json"), body=body)


def page_headers(content_type: str) -> Headers:
    """Return the headers of a page."""
    return Headers((("Content-Type", content_type), *SECURE_HEADERS))
