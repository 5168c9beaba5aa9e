"""Masks secrets in configurations, headers and URLs.

A secret is recognised by the name of its field (whole words, so that `max_tokens` and `api_key_env` stay), by
pydantic's SecretStr, and by the places in a URL where credentials stand. Values are never searched for anything else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

from pydantic import SecretBytes, SecretStr

MASK = "**********"

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
# The last word of the name of a secret. Plurals count only alone or after a word that leaves no doubt: `tokens` and
# `access_tokens`, but not `max_tokens`.
_SECRET_WORDS = frozenset(
    (
        "apikey",
        "authentication",
        "authorization",
        "bearer",
        "cookie",
        "cookies",
        "credential",
        "credentials",
        "jwt",
        "key",
        "passphrase",
        "passwd",
        "password",
        "passwords",
        "pwd",
        "secret",
        "secrets",
        "signature",
        "sig",
        "token",
    )
)
_PLURALS = frozenset(("keys", "tokens"))
_CLEAR_WORDS = frozenset(("access", "api", "auth", "bearer", "private", "refresh", "secret", "session", "signing"))
# `x-amzn-oidc-data` is the token that AWS load balancers pass on.
_SECRET_PAIRS = frozenset((("connection", "string"), ("oidc", "data")))
# Words that may follow it: `aws_access_key_id`, `password_hash`. Other words change the meaning: `api_key_env`.
_TAILS = frozenset(("hash", "id", "value"))
_URL = re.compile(r"(\b[a-z][a-z0-9+.-]{0,30}://)((?:(?!,[a-z][a-z0-9+.-]{0,30}://)[^\s\"'<>])*)", re.IGNORECASE)
# In a query these hold the credential itself.
_QUERY_NAMES = frozenset(("auth", "hmac", "pass"))
_QUERY_FIELD = re.compile(r"(?<=[?&;#])([^=&;#?\s]+)=([^&;#\s]+)")


def is_secret(name: str) -> bool:
    """Return whether a field, header or query parameter of this name holds a secret."""
    words = [word.lower() for word in _WORDS.findall(name)]
    while len(words) > 1 and words[-1] in _TAILS:
        words.pop()
    *before, last = words or [""]
    if last in _PLURALS:
        return not before or before[-1] in _CLEAR_WORDS
    return last in _SECRET_WORDS or (*before[-1:], last) in _SECRET_PAIRS


def redact(value: object) -> object:
    """Return a copy of `value` (dicts, lists, scalars) with every secret replaced by MASK. Null, booleans, "" stay."""
    if isinstance(value, (SecretStr, SecretBytes)):
        return MASK if value.get_secret_value() else ""
    if isinstance(value, str):
        return redact_url(value)
    if isinstance(value, Mapping):
        return {name: _redact_field(name, field, value) for name, field in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [redact(item) for item in value]
    return value


def redact_url(text: str) -> str:
    """Return `text` without the credentials in its URLs: users, passwords, query parameters with secret names."""
    if "://" not in text or not ("@" in text or "=" in text):  # the usual case: 0.1 µs instead of 5
        return text
    return _URL.sub(_redact_found, text)


def redact_query(query: str) -> str:
    """Return a query (without its question mark) with the values of secret fields masked; the rest stays."""
    return _QUERY_FIELD.sub(_redact_query, "?" + query)[1:]


def _redact_found(url: re.Match[str]) -> str:
    scheme, rest = url.groups()
    # URLs of stores may have passwords with a bare slash or "#": there everything before the last "@" is masked.
    web = scheme.lower() in ("http://", "https://", "ws://", "wss://")
    end = re.split(r"[/?#]", rest, maxsplit=1)[0].rfind("@") if web else rest.rfind("@")
    if end >= 0:
        rest = MASK + rest[end:]
    return scheme + _QUERY_FIELD.sub(_redact_query, rest)


def _redact_query(field: re.Match[str]) -> str:
    name, value = field.groups()
    plain = unquote(name)
    return f"{name}={MASK if is_secret(plain) or plain.lower() in _QUERY_NAMES else value}"


def _redact_field(name: object, value: object, siblings: Mapping[object, object]) -> object:
    title = siblings.get("name")
    # Some write a header as {"name": "Authorization", "value": ...}.
    if name == "value" and isinstance(title, str) and is_secret(title):
        return _hide(value)
    return _hide(value) if isinstance(name, str) and is_secret(name) else redact(value)


def _hide(value: object) -> object:
    """Return MASK for strings and numbers. In a list of blocks (`keys: [{name: ci, key: x}]`) names decide again."""
    if isinstance(value, Mapping):
        return {name: _hide(field) for name, field in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [redact(item) if isinstance(item, Mapping) else _hide(item) for item in value]
    return value if value is None or isinstance(value, bool) or value == "" else MASK
