"""Masks secrets in bodies, which arrive in parts that may be cut anywhere.

A secret is found by its value, by the name of the JSON member that holds it, or by its place in a URL. Only needless
escapes are decoded for that, and every other byte stays as it is. Begin reading at `mask_parts`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from llmproxy.body import Body
from llmproxy.errors import BadRequest
from llmproxy.exchange import Exchange
from llmproxy.redaction.json_escapes import has_escapes, unescape
from llmproxy.redaction.names import MASK, redact_url
from llmproxy.redaction.secrets import MOST_SENT, longest, secret_header, secret_value, secrets_of, with_credentials
from llmproxy.wire.repeated_json import ReadObject

_MASK = MASK.encode()
# Searching a body for credentials holds up traffic, so only this much of it is searched.
_READ_BYTES = 1024 * 1024
# Members that hold credentials at any depth, such as MCP servers among tools; in lower case. Names like `token` have
# many meanings, so only these count, and only with text as value: a schema has properties of these names too.
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
# Headers that a provider shall send, such as to an MCP server: masked by the same rules as those of the exchange.
_CREDENTIAL_NAMES = _NAMES | {b"headers"}
_HEADERS = re.compile(rb'"headers"\s*:\s*\{')
_HEADER = re.compile(rb'[\s,]*"([^"\\]*)"\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)"?', re.DOTALL)
# The part of a URL after its scheme; slashes may be escaped. Its group is what follows the first sign of a user, a
# query or a fragment. These patterns take linear time: one that began with the scheme would read a long word again from
# each of its letters. A pattern that begins with a character is searched six times as fast as one with a lookbehind.
_URL = re.compile(
    rb""":(?<=[a-zA-Z0-9]:)(?://|\\/\\/)[^\s"'<>\\@?#]*(?:\\/[^\s"'<>\\@?#]*)*"""
    rb"""([@?#][^\s"'<>\\]*(?:\\/[^\s"'<>\\]*)*)?"""
)
_SCHEME = re.compile(rb"[a-z][a-z0-9+.-]*\Z", re.IGNORECASE)
_SCHEME_BYTES = 20
# What is found in a body is remembered where it takes hardly more than the body: a find takes some 150 bytes.
_FEWEST_BYTES = 64
# A shorter beginning of a secret, at the end of a body that was cut off, is no evidence.
_SHORTEST_BEGINNING = 4


class Edit(NamedTuple):
    """A range of bytes to replace. `new` replaces it, in the part where the range begins; without it each part of the
    range becomes MASK.
    """

    start: int
    end: int
    new: bytes | None = None


def mask_parts(
    parts: list[bytes], forms: Sequence[bytes], *, whole: bool, read: ReadObject | None = None
) -> list[bytes]:
    """Return the `parts` of one body without secrets: `forms`, values of credential members, credentials in URLs.

    `whole` says that nothing is missing at the end; otherwise the beginning of a secret may stand there. The result has
    as many parts as the input, and is the input itself when nothing was masked. `read` is the body as it was read:
    where it goes on from an earlier one, secrets are searched in what is new.
    """
    data = parts[0] if len(parts) == 1 else b"".join(parts)
    if read is not None and read.data is data:
        edits = [*_new_edits(read, _values, forms), *_new_edits(read, _places)]
    else:
        edits = _in_original(data, lambda plain: _find_edits(plain, forms, whole=whole))
    return apply_edits(parts, edits) if edits else parts


def _in_original(data: bytes, find: Callable[[bytes], list[Edit]]) -> list[Edit]:
    """Return what `find` finds in `data` without needless escapes, by its place in `data` itself."""
    if not has_escapes(data):
        return find(data)
    plain = unescape(data)
    return [Edit(plain.origin(edit.start), plain.origin(edit.end), edit.new) for edit in find(plain.data)]


def _find_edits(data: bytes, forms: Sequence[bytes], *, whole: bool) -> list[Edit]:
    edits = _values(data, forms) + _places(data)
    if not whole:
        edits += _beginnings(data, forms)
    return edits


def _values(data: bytes, forms: Sequence[bytes] = ()) -> list[Edit]:
    edits: list[Edit] = []
    for form in forms:
        at = data.find(form)
        while at >= 0:
            edits.append(Edit(at, at + len(form)))
            at = data.find(form, at + len(form))
    return edits


def _places(data: bytes, forms: Sequence[bytes] = ()) -> list[Edit]:
    edits = _members(data)
    if data.find(b"://") >= 0 or data.find(rb":\/\/") >= 0:
        edits += _urls(data)
    return edits


class _Found(NamedTuple):
    """The edits of a body, and the forms that were searched for."""

    forms: Sequence[bytes]
    edits: list[Edit]


def _new_edits(
    read: ReadObject, find: Callable[[bytes, Sequence[bytes]], list[Edit]], forms: Sequence[bytes] = ()
) -> list[Edit]:
    """Return what `find` finds in the whole of a body. Where it goes on from another one, only what is new is
    searched."""
    data, name = read.data, find.__name__
    earlier = read.inherited.get(name)
    if not isinstance(earlier, _Found) or earlier.forms != forms:
        edits = _in_original(data, lambda plain: find(plain, forms))
    else:
        start, end = read.known_bytes, read.end if read.same_tail else len(data)
        edits = [edit for edit in earlier.edits if edit.end <= start]
        # A value may begin in what is known, and end in what is new.
        around = max(map(len, forms), default=0)
        first, last = max(start - around, 0), end + around if read.same_tail else end
        found = _in_original(data[first:last], lambda plain: find(plain, forms))
        edits += [Edit(first + edit.start, first + edit.end, edit.new) for edit in found]
        if read.same_tail:
            edits += [
                Edit(edit.start + read.moved, edit.end + read.moved, edit.new)
                for edit in earlier.edits
                if edit.start + read.moved >= end
            ]
    if len(edits) * _FEWEST_BYTES <= len(data):
        read.derived[name] = _Found(forms, edits)
    return edits


def find_credentials(parts: list[bytes], read: ReadObject | None = None) -> list[str]:
    """Return the values of members of one body whose names mark credentials, of too many the longest; `read` as in
    `mask_parts`."""
    data = parts[0] if len(parts) == 1 else b"".join(parts)
    if read is not None and read.data is data:
        values = [data[edit.start : edit.end] for edit in _new_edits(read, _credentials)]
        if has_escapes(data):  # a quote behind each: a backslash at the end would be an escape that is cut off
            values = [unescape(value + b'"').data[:-1] for value in values]
    else:
        data = unescape(data).data if has_escapes(data) else data
        values = [data[edit.start : edit.end] for edit in _members(data)]
    texts = [_text(value) for value in values]
    return texts if len(texts) <= MOST_SENT else list(longest(set(texts)))


def _text(value: bytes) -> str:
    try:
        return str(msgspec.json.decode(b'"%b"' % value))
    except ValueError:
        return value.decode("utf-8", "replace")


def _credentials(data: bytes, forms: Sequence[bytes] = ()) -> list[Edit]:
    return _members(data)


def all_secrets_of(exchange: Exchange) -> tuple[str, ...]:
    """Return every secret of the exchange, including credentials in the body of its request."""
    secrets, body = secrets_of(exchange), exchange.body
    if not isinstance(body, Body):
        return secrets
    try:
        data = body.decoded
    except BadRequest:
        return secrets
    read = body.read
    values = find_credentials([data[:_READ_BYTES] if read is None else data], read)
    return with_credentials(secrets, values) if values else secrets


def apply_edits(parts: list[bytes], edits: list[Edit]) -> list[bytes]:
    """Return `parts` with `edits` applied, whose offsets count from the beginning of the first part. An edit within
    another one is ignored; edits that overlap otherwise become one mask.
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


def _members(data: bytes) -> list[Edit]:
    # Strings are hardly ever one of these names, and this check takes 2 µs a KB, where searching takes 20.
    if _CREDENTIAL_NAMES.isdisjoint(data.lower().split(b'"')):
        return []
    return [*(Edit(*match.span(2)) for match in _MEMBER.finditer(data) if match[2]), *_headers(data)]


def _headers(data: bytes) -> Iterator[Edit]:
    for match in _HEADERS.finditer(data):
        at = match.end()
        while header := _HEADER.match(data, at):
            name, value = (each.decode("latin-1") for each in header.groups())
            if value and (secret_header(name) or secret_value(value)):
                yield Edit(*header.span(2))
            at = header.end()


def _urls(data: bytes) -> Iterator[Edit]:
    """Yield the URLs with a user or a query; those without secrets stay."""
    for match in _URL.finditer(data):
        if match[1] is None:
            continue
        scheme = _SCHEME.search(data[max(match.start() - _SCHEME_BYTES, 0) : match.start()])
        if scheme is None:
            continue
        url = (scheme[0] + match[0]).decode("latin-1")
        plain = url.replace("\\/", "/")
        redacted = redact_url(plain)
        if redacted != plain:
            new = redacted.replace("/", "\\/") if plain != url else redacted
            yield Edit(match.start() - len(scheme[0]), match.end(), new.encode("latin-1"))


def _beginnings(data: bytes, forms: Sequence[bytes]) -> Iterator[Edit]:
    for form in forms:
        for length in range(min(len(form) - 1, len(data)), _SHORTEST_BEGINNING - 1, -1):
            if data.endswith(form[:length]):
                yield Edit(len(data) - length, len(data))
                break
