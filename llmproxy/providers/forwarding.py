"""Select the headers and the fields of a query of a client that are forwarded to a provider.

All of them, repeated and unknown ones too, in their order and byte for byte, except those of the connection between
client and proxy, those that the proxy writes itself, `x-llmproxy-*`, and, on request, credentials.
"""

from __future__ import annotations

from collections.abc import Callable

from llmproxy.access.credentials import VENDOR_CREDENTIALS, Credentials, header_credentials, is_signature
from llmproxy.access.presented_keys import has_protocol_key
from llmproxy.answer import Headers
from llmproxy.dialects.call_form import without_fields
from llmproxy.wire.compression import supported_encodings
from llmproxy.wire.http import HOP_BY_HOP, ORDINARY_CONNECTION, ForwardedNames

_REBUILT = ("host", "content-length", "expect", "accept-encoding")
# What belongs to the signature of a request: another host, path or body needs another one.
_OF_SIGNATURE = ("x-amz-date", "x-amz-security-token", "x-amz-content-sha256")
_KEY_HEADERS = tuple(name for name in VENDOR_CREDENTIALS if name != "authorization")
_OF_SIGNED_QUERY = frozenset(
    (
        *("X-Amz-Algorithm", "X-Amz-Content-Sha256", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires"),
        *("X-Amz-Security-Token", "X-Amz-Signature", "X-Amz-SignedHeaders"),
    )
)


_DROPPED = (*HOP_BY_HOP, *_REBUILT, *_OF_SIGNATURE)
_WITH_CREDENTIALS = ForwardedNames(_DROPPED, prefix="x-llmproxy-")
# Who pays belongs to the credential.
_WITHOUT_CREDENTIALS = ForwardedNames((*_DROPPED, *VENDOR_CREDENTIALS, "x-goog-user-project"), prefix="x-llmproxy-")


def forward(headers: Headers, *, credentials: bool) -> Headers:
    """Return the client's `headers` for a provider, with or without the client's credentials. A signature of AWS is
    never sent on: it holds for the request to this proxy."""
    kept = _WITH_CREDENTIALS if credentials else _WITHOUT_CREDENTIALS
    forwarded = Headers([pair for pair in headers.items() if kept[pair[0]]])
    if credentials and is_signature(forwarded.get("Authorization", "")):
        del forwarded["Authorization"]
    for line in headers.getall("Connection", ()):
        if line.lower() not in ORDINARY_CONNECTION:
            for name in line.split(","):
                forwarded.popall(name.strip(), None)
    forwarded["Accept-Encoding"] = supported_encodings(", ".join(headers.getall("Accept-Encoding", ())))
    return forwarded


def rename_key(headers: Headers, header_of: Callable[[str], tuple[str, str]]) -> None:
    """Move a client's key from the header of another vendor's SDK into the one that `header_of` names for it.

    `Authorization` stays: clients write tokens there that no other header takes.
    """
    key = next((headers[name] for name in _KEY_HEADERS if headers.get(name)), None)
    if key is None or "Authorization" in headers:
        return
    name, value = header_of(key)
    if name not in headers:
        for other in _KEY_HEADERS:
            headers.popall(other, None)
        headers[name] = value


def forward_query(query: str, without: frozenset[str]) -> str | None:
    """Return the client's `query` for a provider, byte for byte: but for the fields `without`, and for a signature of
    AWS, which a URL may carry too."""
    return without_fields(query, _OF_SIGNED_QUERY | without)


def offers_credential(headers: Headers) -> bool:
    """Return whether the client sent a credential for a provider."""
    values = [headers.get(name, "").strip() for name in VENDOR_CREDENTIALS]
    if any(value not in ("", "Bearer") and not is_signature(value) for value in values):
        return True
    return has_protocol_key(headers)


def forwarded_credentials(headers: Headers, *, credentials: bool) -> Credentials:
    """Return those of the client's `headers` that hold a credential and that `forward` keeps.

    Without `credentials` the headers of vendors' SDKs are dropped; cookies and the keys of gateways go on all the same.
    """
    kept = _WITH_CREDENTIALS if credentials else _WITHOUT_CREDENTIALS
    return tuple([pair for pair in header_credentials(headers) if kept[pair[0]] and not is_signature(pair[1])])
