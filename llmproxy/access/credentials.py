"""Which headers and query fields of a client are credentials, and which of them a request carries.

Credentials are the headers in which vendors' SDKs send a key, and whatever `redaction` hides in headers and queries.
This module only reads; `identity.py` decides what follows for whose a request is.
"""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import unquote_plus

from llmproxy.answer import Headers
from llmproxy.errors import ProxyError
from llmproxy.redaction.names import is_secret
from llmproxy.redaction.secrets import secret_header, secret_value

VENDOR_CREDENTIALS = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
"""The headers in which clients send a credential for a provider, each as its vendor's SDK does."""

Credentials = tuple[tuple[str, str], ...]
"""Names in lower case, with values."""

# Headers whose values no proxy needs to look at.
_ORDINARY = frozenset(
    (
        *("accept", "accept-encoding", "accept-language", "connection", "content-length"),
        *("content-type", "host", "user-agent"),
    )
)
_ORDINARY_PREFIXES = ("x-llmproxy-", "x-stainless-")
_SIGNED = "AWS4-"
_MOST_NAMES = 1024
_LONGEST_NAME = 64


class _CredentialNames(dict[str, bool | None]):
    """Remembers for each header name whether it is that of a credential; None where the value decides.

    1.3 µs for 17 headers, 3 µs without remembering which names are ordinary.
    """

    def __missing__(self, name: str) -> bool | None:
        lower = name.lower()
        counts: bool | None = None
        if lower in VENDOR_CREDENTIALS:
            counts = True
        elif lower in _ORDINARY or lower.startswith(_ORDINARY_PREFIXES):
            counts = False
        elif secret_header(lower):
            counts = True
        if len(self) < _MOST_NAMES and len(name) <= _LONGEST_NAME:
            self[name] = counts
        return counts


_NAMES = _CredentialNames()


def header_credentials(headers: Headers) -> Credentials:
    """Return the headers that hold a credential, in the order of their names.

    A header of any name counts when its value is `Bearer ...` or `Basic ...`: gateways have headers of their own.
    """
    names = _NAMES
    credentials = [
        (name.lower(), _signer(value) if is_signature(value) else value)
        for name, value in headers.items()
        if (counts := names[name]) is not False and (counts or secret_value(value))
    ]
    return tuple(sorted(credentials) if len(credentials) > 1 else credentials)


def missing_authorization() -> ProxyError:
    """Return the 401 for a request without the header Authorization, on a path that demands one."""
    return ProxyError(
        "The Authorization header is missing. Send `Authorization: Bearer <key>`",
        status=401,
        code="missing_authorization",
        headers=(("WWW-Authenticate", "Bearer"),),
    )


def _signer(value: str) -> str:
    """Return the part of an AWS signature that is the same in each request: `AWS4-HMAC-SHA256 Credential=<key id>`."""
    return value.partition("/")[0]


def is_signature(value: str) -> bool:
    """Return whether the value of a credential signs one request, so that no other can be made with it. It names a
    signer, which nobody here verifies."""
    return value[:5] == _SIGNED


@lru_cache(maxsize=1024)
def query_credentials(query: str) -> Credentials:
    """Return the fields of a query with secret names, such as `key`, in their order. Names get a leading `?`."""
    fields = [field.partition("=") for field in query.split("&")]
    return tuple((f"?{name}", value) for name, _, value in fields if value and is_secret(unquote_plus(name)))
