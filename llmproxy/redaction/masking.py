"""Takes what is secret out of bodies, which arrive in parts that may be cut anywhere.

A secret is found by its value, by the name of the JSON member that holds it, or by its place in a URL. Nothing but
needless escapes is decoded for that, and every other byte stays as it is. Begin reading at `mask`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from llmproxy.body import Body
from llmproxy.errors import BadRequest
from llmproxy.exchange import Exchange
from llmproxy.redaction.json_escapes import has_escapes, unescape
from llmproxy.redaction.names import MASK, redact_url
from llmproxy.redaction.secrets import secret_header, secret_value, secrets_of, with_credentials

_MASK = MASK.encode()
# How much of a body is searched for credentials while traffic waits.
_READ_BYTES = 1024 * 1024
# The members that hold credentials wherever they stand, such as MCP servers among tools; in lower case. A name like
# `token` or `key` may be anything's, so only these count, and only text behind them: a schema has properties too.
_NAMES = frozenset(
    name.encode()
    for name in (
        *("authorization", "proxy-authorization", "authorization_token", "authorizationtoken", "cookie", "set-cookie"),
        *("api_key", "api-key", "apikey", "x-api-key", "x_api_key", "x-goog-api-key", "openai_api_key"),
        *("anthropic_api_key", "ocp-apim-subscription-key", "password", "passwd", "passphrase"),
        *("client_secret", "clientsecret", "private_key", "privatekey", "secret_key", "secretkey"),
        *("access_token", "accesstoken", "auth_token", "authtoken", "bearer_token", "bearertoken"),
        *("refresh_token", "refreshtoken", "id_token", "session_token", "sessiontoken"),
        *("secret_access_key", "secretaccesskey", "aws_secret_access_key", "aws_session_token"),
        *("x-amz-security-token", "x-auth-token"),
    )
)
_MEMBER = re.compile(
    rb'(?<!\\)"(%b)"\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)' % b"|".join(sorted(_NAMES)), re.IGNORECASE | re.DOTALL
)
# The headers that somebody shall send, such as a provider to an MCP server: judged as those of the exchange itself.
_TOLD = _NAMES | {b"headers"}
_HEADERS = re.compile(rb'"headers"\s*:\s*\{')
_HEADER = re.compile(rb'[\s,]*"([^"\\]*)"\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)"?', re.DOTALL)
# What follows the scheme of a URL, whose slashes may be escaped. All of these take time in proportion to the bytes: a
# pattern that began with the scheme would read a long word anew from each of its letters.
_URL = re.compile(rb"""(?<=[a-zA-Z0-9]):(?://|\\/\\/)[^\s"'<>\\]*(?:\\/[^\s"'<>\\]*)*""")
_SCHEME = re.compile(rb"[a-z][a-z0-9+.-]*\Z", re.IGNORECASE)
_SCHEME_BYTES = 20
# A shorter beginning of a secret at the place where a body was cut off says nothing.
_SHORTEST_BEGINNING = 4


class Edit(NamedTuple):
    """Bytes that are not shown as they are. `new` stands in place of the first; without it MASK stands in each part."""

    start: int
    end: int
    new: bytes | None = None


def mask_parts(parts: list[bytes], forms: Sequence[bytes], *, whole: bool) -> list[bytes]:
    """`parts` of one body without secrets: `forms`, what credentials' members hold, what URLs hold.

    `whole` says that nothing is missing at the end, where otherwise the beginning of a secret may stand. As many parts
    come back as were given, the same ones when nothing is hidden.
    """
    data = parts[0] if len(parts) == 1 else b"".join(parts)
    if has_escapes(data):
        plain = unescape(data)
        edits = [
            Edit(plain.origin(edit.start), plain.origin(edit.end), edit.new)
            for edit in _found(plain.data, forms, whole=whole)
        ]
    else:
        edits = _found(data, forms, whole=whole)
    return apply_edits(parts, edits) if edits else parts


def _found(data: bytes, forms: Sequence[bytes], *, whole: bool) -> list[Edit]:
    edits: list[Edit] = []
    for form in forms:
        if form in data:
            edits += _occurrences(data, form)
    edits += _members(data)
    if b"/" in data and (b"://" in data or rb":\/\/" in data):
        edits += _urls(data)
    if not whole:
        edits += _beginnings(data, forms)
    return edits


def find_credentials(parts: list[bytes]) -> Iterator[str]:
    """What the members of one body hold that are there for credentials."""
    data = b"".join(parts)
    if has_escapes(data):
        data = unescape(data).data
    for edit in _members(data):
        value = data[edit.start : edit.end]
        try:
            yield str(msgspec.json.decode(b'"%b"' % value))
        except ValueError:
            yield value.decode("utf-8", "replace")


def all_secrets_of(exchange: Exchange) -> tuple[str, ...]:
    """Every secret of the exchange, and what members of its request's body hold that are there for credentials."""
    secrets, body = secrets_of(exchange), exchange.body
    if not isinstance(body, Body):
        return secrets
    try:
        data = body.decoded
    except BadRequest:
        return secrets
    found = list(find_credentials([data[:_READ_BYTES]]))
    return with_credentials(secrets, found) if found else secrets


def apply_edits(parts: list[bytes], edits: list[Edit]) -> list[bytes]:
    """`parts` with all `edits` made, whose offsets count from the beginning of the first. Of two that overlap, the
    outer one counts; when neither is, they become one mask.
    """
    data = parts[0] if len(parts) == 1 else b"".join(parts)
    waiting = _merged(edits)
    changed: list[bytes] = []
    start, number = 0, 0
    for part in parts:
        end, at = start + len(part), start
        pieces: list[bytes] = []
        while number < len(waiting) and waiting[number].start < end:
            edit = waiting[number]
            if edit.start >= start:
                pieces.append(data[at : edit.start])
            pieces.append(_MASK if edit.new is None else edit.new if edit.start >= start else b"")
            at = min(edit.end, end)
            if edit.end > end:
                break
            number += 1
        pieces.append(data[at:end])
        changed.append(b"".join(pieces) if len(pieces) > 1 else part)
        start = end
    return changed


def _merged(edits: list[Edit]) -> list[Edit]:
    merged: list[Edit] = []
    for edit in sorted(edits, key=lambda each: (each.start, -each.end)):
        if merged and edit.start < merged[-1].end:
            if edit.end > merged[-1].end:
                merged[-1] = Edit(merged[-1].start, edit.end)
        else:
            merged.append(edit)
    return merged


def _occurrences(data: bytes, form: bytes) -> Iterator[Edit]:
    at = data.find(form)
    while at >= 0:
        yield Edit(at, at + len(form))
        at = data.find(form, at + len(form))


def _members(data: bytes) -> list[Edit]:
    # Of what stands between quotes, hardly ever is one such a name: 2 µs a KB, where searching takes 20.
    if _TOLD.isdisjoint(data.lower().split(b'"')):
        return []
    return [*(Edit(*found.span(2)) for found in _MEMBER.finditer(data) if found[2]), *_headers(data)]


def _headers(data: bytes) -> Iterator[Edit]:
    for found in _HEADERS.finditer(data):
        at = found.end()
        while header := _HEADER.match(data, at):
            name, value = (each.decode("latin-1") for each in header.groups())
            if value and (secret_header(name) or secret_value(value)):
                yield Edit(*header.span(2))
            at = header.end()


def _urls(data: bytes) -> Iterator[Edit]:
    """URLs with a user or a query; those that hide nothing stay."""
    for found in _URL.finditer(data):
        rest = found[0]
        if b"@" not in rest and b"?" not in rest and b"#" not in rest:
            continue
        scheme = _SCHEME.search(data[max(found.start() - _SCHEME_BYTES, 0) : found.start()])
        if scheme is None:
            continue
        url = (scheme[0] + rest).decode("latin-1")
        plain = url.replace("\\/", "/")
        hidden = redact_url(plain)
        if hidden != plain:
            new = hidden.replace("/", "\\/") if plain != url else hidden
            yield Edit(found.start() - len(scheme[0]), found.end(), new.encode("latin-1"))


def _beginnings(data: bytes, forms: Sequence[bytes]) -> Iterator[Edit]:
    for form in forms:
        for length in range(min(len(form) - 1, len(data)), _SHORTEST_BEGINNING - 1, -1):
            if data.endswith(form[:length]):
                yield Edit(len(data) - length, len(data))
                break
