"""Find the keys that a client presents to this proxy, in every place where SDKs and browsers send one, and take them
out of the request once they are verified.

Which of them are valid says `authentication.py`. Begin reading at `presented_keys`.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

from llmproxy.answer import Headers
from llmproxy.exchange import Exchange

KEY_HEADER = "x-llmproxy-key"
"""The header for clients that send a credential of their own for a provider in the usual ones."""

KEY_PREFIX = "llmp_"
"""The beginning of generated keys."""

_PLAIN_HEADERS = ("x-api-key", "api-key", "x-goog-api-key", KEY_HEADER)
_PROTOCOLS = "Sec-WebSocket-Protocol"
_PROTOCOL_PREFIX = "openai-insecure-api-key."
_SIGNED = "aws4-hmac-sha256"
_KEY_ID = re.compile(r"Credential=([^/,\s]+)")
_QUERY_KEY = re.compile(r"(?:^|&)key=([^&]+)")
_LONGEST = 32 * 1024


def presented_keys(headers: Headers, query: str | None) -> list[str]:
    """Return what may be a key, without repetition: from `Authorization`, the headers of vendors, the query field
    `key`, the access key id of an AWS signature, and the WebSocket subprotocol that browsers use.
    """
    found: list[str] = []
    for value in headers.getall("Authorization", ()):
        if key := _authorized(value):
            found.append(key)
    for name in _PLAIN_HEADERS:
        if name in headers:
            found += [value.strip() for value in headers.getall(name)]
    if query is not None and "key=" in query:
        found += [unquote_plus(value) for value in _QUERY_KEY.findall(query)]
    if _PROTOCOLS in headers:
        found += [each.removeprefix(_PROTOCOL_PREFIX) for each in _protocols(headers) if _names_key(each)]
    if len(found) == 1:
        return found
    return [key for key in dict.fromkeys(found) if key and len(key) <= _LONGEST]


def _authorized(value: str) -> str:
    """Return the key in the value of `Authorization`: a bearer token, the key id of a signature, or a bare key."""
    scheme, _, rest = value.strip().partition(" ")
    if not rest:
        return scheme
    lower = scheme.lower()
    if lower == "bearer":
        return rest.strip()
    if lower == _SIGNED and (match := _KEY_ID.search(rest)):
        return match[1]
    return ""


def _protocols(headers: Headers) -> list[str]:
    return [each.strip() for line in headers.getall(_PROTOCOLS) for each in line.split(",")]


def _names_key(protocol: str) -> bool:
    return protocol.startswith(_PROTOCOL_PREFIX)


def remove_keys(exchange: Exchange, verified: list[str]) -> None:
    """Remove every header and query field that holds one of the `verified` keys: none of them may go on to a provider,
    also where the same key stands in a place that nobody looks at.
    """
    headers = exchange.headers
    for key in verified:
        holders = {name for name, value in headers.items() if key in value}
        for name in holders:
            _remove_key(headers, name, key)
        if exchange.query is not None and "=" in exchange.query:
            fields = exchange.query.split("&")
            kept = [field for field in fields if key not in field and key not in unquote_plus(field)]
            if len(kept) < len(fields):
                exchange.query = "&".join(kept) if kept else None


def _remove_key(headers: Headers, name: str, key: str) -> None:
    """Remove the header `name`; of the offered WebSocket protocols only the one with the key."""
    values = headers.popall(name)
    if name.lower() == _PROTOCOLS.lower():
        kept = [each.strip() for line in values for each in line.split(",") if key not in each]
        if kept:
            headers[name] = ", ".join(kept)
        return
    for value in values:
        if key not in value:
            headers.add(name, value)
