"""Collects the secrets of one exchange, and masks them in everything that is shown of it.

Headers and queries are masked by name (`names.py`). Providers often repeat a refused key in the text of an error, where
no name marks it: there the values themselves are searched, in every form in which they are usually written. Begin
reading at `secrets_of`.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence, Set
from functools import lru_cache
from heapq import nlargest
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from llmproxy.exchange import Exchange
from llmproxy.redaction.json_escapes import has_escapes, unescape
from llmproxy.redaction.names import MASK, is_secret, redact_url

_NOTE = "llmproxy.secrets"
# Shorter values are no secrets; masking them would damage ordinary words.
_SHORTEST = 6
# The base64 of a shorter one could be found by chance.
_SHORTEST_BASE64 = 12
MOST_SENT = 50
"""No client sends so many credentials. Each stands for up to twenty forms that are searched for."""
# Only attacks send more letters of credentials, and what is derived from them takes up to twenty times as much.
_MOST_CACHED_LETTERS = 4096
# Finding out which forms contain others takes the square of their number.
_MOST_COMPARED = 100
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
# Placeholders for a key that is required and not used, from the documentation of Ollama and LM Studio.
PLACEHOLDER_KEYS = frozenset(("anything", "lm-studio", "no-key", "no-key-required", "not-needed", "ollama", "unused"))
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9_-]* +")
_SIGNED = re.compile(r"(?:Credential|Signature)=([^,\s]+)")
_SIGNATURE = re.compile(rb"(?<=Signature=)[0-9a-f]{64}")
_USERINFO = re.compile(r"://([^/?#\s\"'<>]+)@")
_FIELD = re.compile(r"(?:^|[?&;#])([^=&;#?\s]+)=([^&;#\s\"'<>]+)")
# Keys that find something and open nothing: our own x-llmproxy-cache-key, those of other gateways and CDNs.
_FINDING_KEY = re.compile(r"(?:.*[-_])?(?:cache|idempotency|surrogate|sec-websocket)[-_]key")
# In headers, unlike in configurations, these hold the credential itself. Browsers put keys into WebSocket protocols.
_CREDENTIAL = re.compile(r"(?:.*[-_])?(?:auth|assertion|accesstoken)|sec-websocket-protocol")
_SCHEMES = ("Bearer ", "bearer ", "Basic ", "basic ")
# A challenge has parameters: `Bearer realm="x"`.
_BARE = re.compile(r"\w+ +[^\s,=]+=*")


@lru_cache(maxsize=1024)
def secret_header(name: str) -> bool:
    """Return whether a header of this name holds a secret."""
    name = name.lower()
    return (is_secret(name) and _FINDING_KEY.fullmatch(name) is None) or _CREDENTIAL.fullmatch(name) is not None


def secret_value(value: str) -> bool:
    """Return whether the value is a credential under any header name: gateways define headers for `Bearer ...`."""
    return value.startswith(_SCHEMES) and _BARE.fullmatch(value) is not None


def secrets_of(exchange: Exchange) -> tuple[str, ...]:
    """Return every secret that the client sent or a provider of its route adds, longest first. Computed once for an
    exchange that ended.
    """
    cached = exchange.notes.get(_NOTE)
    if isinstance(cached, tuple):
        return cached
    values = longest(_sent(exchange))
    if exchange.target is not None:
        values.update(exchange.target.provider.secrets)
    for target in exchange.route.targets if exchange.route else ():
        values.update(target.provider.secrets)
    secrets = _cached_secrets(frozenset(values)) if _are_few(values) else _sort_secrets(values)
    if exchange.ended_s is not None:  # before the end another provider may be called
        exchange.notes[_NOTE] = secrets
    return secrets


def with_credentials(secrets: tuple[str, ...], values: Iterable[str]) -> tuple[str, ...]:
    """Return `secrets` and those in `values`, each of which could be the value of an Authorization header."""
    return _sort_secrets({*secrets, *(part for value in values for part in _values("authorization", value))})


def longest(values: Set[str]) -> set[str]:
    """Return those of `values`, which a client sent, that are searched for everywhere: the longest, where it sent more
    than anybody needs."""
    return set(values) if len(values) <= MOST_SENT else set(nlargest(MOST_SENT, values, key=len))


def _are_few(values: Collection[str]) -> bool:
    """Return whether what is derived from `values` may stay in memory."""
    return sum(map(len, values)) <= _MOST_CACHED_LETTERS


@lru_cache(maxsize=256)  # clients send the same with every request
def _cached_secrets(values: frozenset[str]) -> tuple[str, ...]:
    return _sort_secrets(values)


def _sort_secrets(values: Set[str]) -> tuple[str, ...]:
    """Return the values that are secrets, longest first."""
    real = [each for each in values if len(each) >= _SHORTEST and each not in PLACEHOLDER_KEYS]
    return tuple(sorted(real, key=len, reverse=True)) if len(real) > 1 else tuple(real)


def forms_of(secrets: tuple[str, ...]) -> tuple[bytes, ...]:
    """Return the forms of `secrets` in bytes: raw, escaped in JSON, percent-encoded, within something in base64. Of a
    few, a form that contains another one is left out: what remains after masking is no secret.
    """
    return _cached_forms(secrets) if _are_few(secrets) else _forms(secrets)


@lru_cache(maxsize=1024)
def _cached_forms(secrets: tuple[str, ...]) -> tuple[bytes, ...]:
    return _forms(secrets)


def _forms(secrets: tuple[str, ...]) -> tuple[bytes, ...]:
    candidates: set[bytes] = set()
    for secret in secrets:
        raw = secret.encode("utf-8", "surrogateescape")
        candidates.add(raw)
        if not (secret.isascii() and secret.isalnum()):
            candidates.update(_escaped(raw))
        if len(raw) >= _SHORTEST_BASE64:
            candidates.update(_in_base64(raw))
    if len(candidates) > _MOST_COMPARED:
        return tuple(sorted(candidates, key=len))
    forms: list[bytes] = []
    for form in sorted(candidates, key=len):
        if not any(shorter in form for shorter in forms):
            forms.append(form)
    return tuple(forms)


def _escaped(raw: bytes) -> Iterator[bytes]:
    text = raw.decode("utf-8", "replace")
    escaped = json.dumps(text, ensure_ascii=False)[1:-1]
    percent = (quote(raw, safe=""), quote(raw, safe="/"), quote_plus(raw))
    lower = (re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), each) for each in percent)
    for form in (escaped, json.dumps(text)[1:-1], *percent, *lower):
        yield form.encode()
        yield form.replace("/", "\\/").encode()


def _in_base64(raw: bytes) -> Iterator[bytes]:
    """Yield what stands for `raw` in the base64 of something that contains it: three forms, as three bytes become four
    letters, without the letters at its ends that stand for other bytes too."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw)[(before * 8 + 5) // 6 : (before + len(raw)) * 8 // 6]
        yield encoded
        yield encoded.translate(_URL_SAFE)


def mask_text(text: str, secrets: tuple[str, ...]) -> str:
    """Return `text` with MASK in place of each of `secrets` and of credentials in URLs; the same object without any."""
    if secrets:
        data = text.encode("utf-8", "surrogateescape")
        masked = mask_bytes(data, secrets)
        text = text if masked is data else masked.decode("utf-8", "surrogateescape")
    if "://" not in text and ":\\/\\/" not in text:
        return text
    plain = text.replace("\\/", "/")
    redacted = redact_url(plain)
    return text if redacted == plain else redacted


def mask_bytes(data: bytes, secrets: tuple[str, ...]) -> bytes:
    """Return `data` with MASK in place of each of `secrets`, also where they are escaped or percent-encoded, and of
    signatures of AWS, which differ in each request."""
    forms = forms_of(secrets)
    if data.find(b"Signature=") >= 0:  # bytes `in` bytes takes 1,800 instructions more
        data = _SIGNATURE.sub(MASK.encode(), data)
    for form in forms:
        if data.find(form) >= 0:
            data = data.replace(form, MASK.encode())
    return _hide_escaped(data, forms) if has_escapes(data) else data


def _hide_escaped(data: bytes, forms: Sequence[bytes]) -> bytes:
    """Return `data` with MASK where one of `forms` stands with escapes. `data` is copied once for each form that is
    there: an answer of a megabyte may repeat a secret thousands of times.
    """
    plain = unescape(data)
    for form in forms:
        at, end = plain.data.find(form), 0
        pieces: list[bytes] = []
        while at >= 0:
            pieces += data[end : plain.origin(at)], MASK.encode()
            end = plain.origin(at + len(form))
            at = plain.data.find(form, at + len(form))
        if pieces:
            data = b"".join([*pieces, data[end:]])
            plain = unescape(data)
    return data


def _sent(exchange: Exchange) -> set[str]:
    found: set[str] = set()
    for name, value in exchange.headers.items():
        if secret_header(name) or (value.startswith(_SCHEMES) and secret_value(value)):
            found.update(_values(name, value) if len(value) <= _MOST_CACHED_LETTERS else _read(name.lower(), value))
        elif "://" in value:
            found.update(_in_url(value))
    if exchange.query is not None:
        found.update(_fields(exchange.query))
    return found


def _in_url(value: str) -> Iterator[str]:
    for userinfo in _USERINFO.findall(value):
        user, _, password = userinfo.rpartition(":")
        yield from (password, unquote(password), *((user,) if user else ()))
    if "?" in value or "#" in value:
        yield from _fields(value.partition("?")[2] or value)


def _fields(query: str) -> Iterator[str]:
    """Yield the values of query fields with secret names, raw and decoded."""
    for name, value in _FIELD.findall(query):
        if is_secret(unquote_plus(name)):
            yield value
            decoded = unquote_plus(value, errors="surrogateescape")
            yield decoded
            yield from _scoped(decoded)


@lru_cache(maxsize=256)
def _values(name: str, value: str) -> tuple[str, ...]:
    return tuple(_read(name.lower(), value))


def _read(name: str, value: str) -> Iterator[str]:
    """Yield the secrets in one header: the whole value, the value without its scheme, and the secrets in signatures,
    cookies and passwords.
    """
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
    for part in _SIGNED.findall(bare):
        yield part
        yield from _scoped(part)
    if scheme[0].strip().lower() == "basic":
        try:
            user, _, password = base64.b64decode(bare).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return
        yield password
        yield unquote(user)


def _scoped(credential: str) -> Iterator[str]:
    """Yield the access key of a SigV4 credential, which its scope (date, region, service) follows."""
    if credential.endswith("/aws4_request"):
        yield credential.partition("/")[0]
