"""The secrets that one exchange carries, and how they are taken out of what is shown of it.

Headers and queries are masked by their names (`redaction.py`). Providers like to repeat a refused key in the text of
their error, where no name says so: there the values themselves are looked for. Begin reading at `secrets_of`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from urllib.parse import parse_qsl, unquote

from llmproxy.exchange import Exchange
from llmproxy.telemetry.redaction import MASK, is_secret

_NOTE = "llmproxy.secrets"
# Shorter values are no secrets, and would tear ordinary words apart.
_SHORTEST = 6
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9_-]* +")
_SIGNED = re.compile(r"(?:Credential|Signature)=([^,\s]+)")
_EXPECTED = frozenset(("idempotency-key", "sec-websocket-key", "x-idempotency-key"))


@lru_cache(maxsize=1024)
def secret_header(name: str) -> bool:
    """Whether a header of this name (lower case) holds a secret."""
    return is_secret(name) and name not in _EXPECTED


def secrets_of(exchange: Exchange) -> tuple[str, ...]:
    """Every secret that the client sent or a provider of its route adds, longest first. Found once."""
    known = exchange.notes.get(_NOTE)
    if isinstance(known, tuple):
        return known
    found = set(_sent(exchange))
    if exchange.target is not None:
        found.update(exchange.target.provider.secrets)
    for target in exchange.route.targets if exchange.route else ():
        found.update(target.provider.secrets)
    secrets = tuple(sorted((each for each in found if len(each) >= _SHORTEST), key=len, reverse=True))
    exchange.notes[_NOTE] = secrets
    return secrets


def hide_text(text: str, secrets: Sequence[str]) -> str:
    """`text` with MASK in place of each of `secrets`."""
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, MASK)
    return text


def hide_bytes(data: bytes, secrets: Sequence[str]) -> bytes:
    """`data` with MASK in place of each of `secrets`, also where they stand as they are written in JSON."""
    for secret in secrets:
        raw = secret.encode("utf-8", "surrogateescape")
        escaped = raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
        for form in {raw, escaped, escaped.replace(b"/", b"\\/")}:
            if data.find(form) >= 0:
                data = data.replace(form, MASK.encode())
    return data


def _sent(exchange: Exchange) -> Iterator[str]:
    for name, value in exchange.headers.items():
        if secret_header(name.lower()):
            yield from _values(name.lower(), value)
    for name, value in parse_qsl(exchange.query or "", keep_blank_values=True, errors="surrogateescape"):
        if is_secret(name):
            yield value


def _values(name: str, value: str) -> Iterator[str]:
    """The secrets in one header: the whole, without its scheme, and what signatures, cookies and passwords hold."""
    yield value
    if name == "cookie":
        for cookie in value.split(";"):
            yield cookie.partition("=")[2].strip().strip('"')
        return
    scheme = _SCHEME.match(value)
    if scheme is None:
        return
    bare = value[scheme.end() :].strip()
    yield bare
    yield from _SIGNED.findall(bare)
    if scheme[0].strip().lower() == "basic":
        try:
            user, _, password = base64.b64decode(bare).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return
        yield password
        yield unquote(user)
