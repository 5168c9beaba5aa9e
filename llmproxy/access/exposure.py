"""Decide by the origin of a request what it may reach. Own pages are open to read; requests that change something are
for a peer on this machine, or for whoever has `server.admin_key`.
"""

from __future__ import annotations

import hmac
from ipaddress import ip_address
from urllib.parse import urlsplit

from llmproxy.errors import ProxyError
from llmproxy.exchange import Exchange

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


def check_exposure(exchange: Exchange, admin_key: str) -> None:
    """Raise ProxyError (403) when this request may not come in.

    `admin_key` is `server.admin_key`, empty where there is none.
    """
    if not exchange.own or exchange.method in _READING:
        return
    if _has_admin_key(exchange, admin_key) or (_is_local(exchange) and not _is_cross_origin(exchange)):
        return
    raise ProxyError(
        "Only clients on this machine may change this. From elsewhere, send `server.admin_key` as a bearer token",
        status=403,
        code="forbidden",
    )


def _has_admin_key(exchange: Exchange, admin_key: str) -> bool:
    sent = exchange.headers.get("Authorization", "").removeprefix("Bearer ").strip()
    return bool(admin_key) and hmac.compare_digest(sent.encode("utf-8", "replace"), admin_key.encode())


def _is_local(exchange: Exchange) -> bool:
    """Return whether the request comes from this machine itself, and not from a client behind a proxy on it."""
    if any(name in exchange.headers for name in _FORWARDED):
        return False
    return exchange.client.address == "unix" or _is_loopback(exchange.client.address)


def _is_loopback(address: str) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if parsed.version == 6 else None
    return (mapped or parsed).is_loopback


def _is_cross_origin(exchange: Exchange) -> bool:
    """Return whether a web page of another site makes the request, through a browser.

    A site whose name was made to resolve to this machine sends that name as Origin and Host alike, so only the usual
    names of this machine are ours.
    """
    origin = exchange.headers.get("Origin")
    if origin is None:
        return False
    try:
        parts = urlsplit(origin)
    except ValueError:
        return True
    named = parts.hostname == "localhost" or _is_loopback(parts.hostname or "")
    return not named or parts.netloc != exchange.headers.get("Host")
