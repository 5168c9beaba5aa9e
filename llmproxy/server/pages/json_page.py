"""Write the JSON of our own pages: indented, and never to be cached."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llmproxy.answer import Answer, Headers
from llmproxy.server.secure_headers import SECURE_HEADERS

_JSON = "application/json"
_TEXT_FORMATS = ("text/plain", "application/openmetrics-text")


def json_page(content: object, *, status: int = 200) -> Answer:
    """Return `content` as a page. Values that JSON lacks are written as their text."""
    body = msgspec.json.format(msgspec.json.encode(content, enc_hook=str), indent=2) + b"\n"
    return Answer(status=status, headers=page_headers(_JSON), body=body)


def page_headers(content_type: str) -> Headers:
    """Return the headers of a page."""
    return Headers((("Content-Type", content_type), *SECURE_HEADERS))


def prefers_json(accept: str) -> bool:
    """Return whether the Accept header names _JSON, and no text format with a higher weight."""
    weights: dict[str, float] = {}
    for item in accept.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        weights.setdefault(name, _weight(parameters))
    weight = weights.get(_JSON, 0.0)
    return weight > 0 and all(weights.get(name, 0.0) <= weight for name in _TEXT_FORMATS)


def _weight(parameters: Sequence[str]) -> float:
    text = next((each[2:].strip() for each in parameters if each.startswith("q=")), "1")
    try:
        return float(text)
    except ValueError:
        return 0.0
