"""Decide by the origin of a request what it may reach.

A web page of any site can make the browser of somebody on this machine send requests here. It cannot hide its `Origin`;
where its name was made to resolve to this machine (DNS rebinding), that name stands in `Host`. Both are judged for
every request, until clients have keys. Requests that change our own pages are for a peer on this machine, or for
whoever has `server.admin_key`. Begin reading at `Exposure.check`.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from ipaddress import ip_address
from typing import TypeVar
from urllib.parse import urlsplit

from llmproxy.errors import BadRequest, ProxyError
from llmproxy.exchange import Exchange

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")
# What programs on the desktop send, which show pages of their own; Ollama accepts the same.
_DESKTOP = ("app:", "file:", "tauri:", "vscode-webview:", "vscode-file:")
# Names of this machine that nobody else can own (RFC 6761), and its names within containers.
_OWN_NAMES = frozenset({"localhost", "0.0.0.0", "::", "host.docker.internal", "host.containers.internal"})
_AUTHORITY = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\s:/?#@\[\]\\]+))(:\d{0,5})?")
_MOST_KNOWN = 1024
_LONGEST = 200

Key = TypeVar("Key")


class Exposure:
    """Refuses requests by where they come from: web pages of other sites, and names that are not ours.

    `admin_key` is `server.admin_key`, empty where there is none. `listens_on` is the address or name that is listened
    on; on loopback a request must name this machine in `Host`, elsewhere only with `allowed_hosts`. Those are names or
    `name:port`, `allowed_origins` are origins such as `https://app.example.com`; in both `*` matches anything. Where
    `clients_have_keys`, a name that resolves to this machine is worth nothing without a key.
    """

    __slots__ = ("_admin_key", "_hosts", "_judges_hosts", "_known_hosts", "_known_origins", "_origins")

    def __init__(
        self,
        *,
        admin_key: str = "",
        listens_on: str = "",
        allowed_hosts: Sequence[str] = (),
        allowed_origins: Sequence[str] = (),
        clients_have_keys: bool = False,
    ) -> None:
        self._admin_key = admin_key
        on_loopback = _names_this_machine(listens_on) and not _is_any(listens_on)
        self._judges_hosts = bool(allowed_hosts) or (on_loopback and not clients_have_keys)
        self._hosts = _pattern([*allowed_hosts, *([] if _is_any(listens_on) else [listens_on])])
        self._origins = _pattern(allowed_origins)
        # Clients send the same again and again: 0.1 µs instead of 3.
        self._known_hosts: dict[str, bool] = {}
        self._known_origins: dict[tuple[str, str], bool] = {}

    def check(self, exchange: Exchange) -> None:
        """Raise ProxyError (403) when this request may not come in, BadRequest when it names several hosts."""
        if exchange.own and self._admin_key and _has_admin_key(exchange, self._admin_key):
            return
        self.check_host(exchange)
        if "Origin" in exchange.headers:
            self.check_origin(exchange)
        if exchange.own and exchange.method not in _READING:
            self._check_change(exchange)

    def check_host(self, exchange: Exchange) -> None:
        """Raise ProxyError (403) for a foreign host, BadRequest for several."""
        headers = exchange.headers
        host = headers.get("Host", "")
        known = self._known_hosts.get(host)
        if known is None:
            known = self._knows_host(host)
            if len(host) <= _LONGEST:
                _remember(self._known_hosts, host, known)
        if not known:
            raise _refused("host", host, "server.allowed_hosts")
        if len(headers.getall("Host", ())) > 1:
            raise BadRequest("The request has several Host headers. Send one", code="several_hosts")

    def check_operator(self, exchange: Exchange) -> None:
        """Raise a 401 or 403 unless the request has the admin key: our own pages, where clients have keys."""
        if not self._admin_key:
            message = "This page needs `server.admin_key`, which is not set. Set it in the configuration"
            raise ProxyError(message, status=403, code="forbidden")
        if not _has_admin_key(exchange, self._admin_key):
            message = "This page needs `server.admin_key` as a bearer token"
            raise ProxyError(message, status=401, code="invalid_api_key", headers=(("WWW-Authenticate", "Bearer"),))

    def check_origin(self, exchange: Exchange) -> None:
        """Raise ProxyError (403) for a page of another site."""
        self._check_origins(exchange.headers.getall("Origin", ()), exchange.headers.get("Host", ""))

    def _knows_host(self, host: str) -> bool:
        """Return whether `host` is a name of this machine, or allowed. HTTP/1.0 clients may send none."""
        return not self._judges_hosts or not host or self._is_ours(host)

    def _is_ours(self, host: str) -> bool:
        """Return whether `host`, with or without a port, is a name that certainly is ours."""
        name, port = _split(host)
        return bool(name) and (_names_this_machine(name) or self._is_allowed_host(name, port))

    def _is_allowed_host(self, name: str, port: str) -> bool:
        return bool(self._hosts.fullmatch(name) or self._hosts.fullmatch(name + port))

    def _check_origins(self, origins: Sequence[str], host: str) -> None:
        for origin in origins:
            known = self._known_origins.get((origin, host))
            if known is None:
                known = self._knows_origin(origin.strip().lower(), host)
                if len(origin) + len(host) <= _LONGEST:
                    _remember(self._known_origins, (origin, host), known)
            if not known:
                raise _refused("origin", origin, "server.allowed_origins")

    def _knows_origin(self, origin: str, host: str) -> bool:
        """Return whether a page of `origin` may ask: of this machine, of a program on the desktop, our own, or allowed.

        Our own is a page with the name in `host` where that name is certainly ours, or an address, which nobody can
        make resolve to another one.
        """
        if origin.startswith(_DESKTOP) or self._origins.fullmatch(origin):
            return True
        scheme, _, authority = origin.partition("://")
        name, port = _split(authority)
        if scheme not in ("http", "https") or not name:
            return False
        if _names_this_machine(name):
            return True
        return authority == host.lower() and (self._is_allowed_host(name, port) or _is_address(name))

    def _check_change(self, exchange: Exchange) -> None:
        if _is_local(exchange) and not _is_cross_origin(exchange):
            return
        raise ProxyError(
            "Only clients on this machine may change this. From elsewhere, send `server.admin_key` as a bearer token",
            status=403,
            code="forbidden",
        )


def _refused(what: str, value: str, key: str) -> ProxyError:
    """Return the error for a foreign host or origin."""
    quoted = ascii(value if len(value) <= _LONGEST else f"{value[:_LONGEST]}...")
    message = f"The {what} {quoted} is not allowed. To allow it, add it to {key}"
    return ProxyError(message, status=403, code=f"foreign_{what}")


def _remember(known: dict[Key, bool], key: Key, value: bool) -> None:
    if len(known) >= _MOST_KNOWN:
        known.clear()
    known[key] = value


def _pattern(entries: Sequence[str]) -> re.Pattern[str]:
    """Match any of `entries`, in which `*` stands for anything. Without entries nothing matches."""
    patterns = [".*" if each == "*" else "[^/]*".join(map(re.escape, each.lower().split("*"))) for each in entries]
    return re.compile("|".join(patterns) or "(?!)")


def _split(authority: str) -> tuple[str, str]:
    """Return the host in `name:port` in lower case, "" where there is none, and `:port` or ""."""
    match = _AUTHORITY.fullmatch(authority.lower())
    return ("", "") if match is None else (match[1] or match[2].removesuffix("."), match[3] or "")


def _names_this_machine(name: str) -> bool:
    """Return whether a host is this machine itself, seen from itself."""
    name = name.lower()
    return name in _OWN_NAMES or name.endswith(".localhost") or _is_loopback(name)


def _is_any(address: str) -> bool:
    """Return whether this address stands for all of the machine, or is not known."""
    return address in ("", "0.0.0.0", "::")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _has_admin_key(exchange: Exchange, admin_key: str) -> bool:
    sent = exchange.headers.get("Authorization", "").removeprefix("Bearer ").strip()
    return hmac.compare_digest(sent.encode("utf-8", "replace"), admin_key.encode())


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
    """Return whether a web page of another origin makes the request, one on another port of this machine too.

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
