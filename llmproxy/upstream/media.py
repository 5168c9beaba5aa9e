"""Fetches the images and documents that a client named by URL, for providers that take them only inside the request.

A URL of a client's is a way into the network where the proxy runs, so only public addresses are asked. How a host is
written says nothing: it is normalised and resolved on its way to the socket. So the address is judged where the socket
for it is made, for every redirect too. Size and time are limited. Begin reading at `MediaFetcher`.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from llmproxy.errors import BadRequest
from llmproxy.upstream.egress import trust

MAX_REDIRECTS = 5
_MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]+")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# NAT64 carries an IPv4 address in its last 32 bits (RFC 6052), as mapped and 6to4 addresses carry one.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# All that IANA has assigned as global unicast.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
# What `is_global` of some Python versions takes for public: protocol assignments, 6to4 relays, documentation; and the
# address of Azure's own services within a virtual machine.
_NOT_GLOBAL = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "3fff::/20")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """The content of a URL: `data` is base64."""

    media_type: str
    data: str


class MediaFetcher:
    """Fetches at most `max_bytes` from one URL within `timeout_s`. Opens connections only while it fetches."""

    def __init__(self, max_bytes: int, timeout_s: float) -> None:
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._trust: ssl.SSLContext | None = None

    async def fetch(self, url: str, path: str, hold: Callable[[int], None]) -> Fetched:
        """Return the content of `url`, at the JSON path `path` of a request. `hold` counts its bytes as they arrive: a
        small request may name many files. Raises BadRequest that says why not, and what `hold` raises.
        """
        if self._trust is None:
            self._trust = await asyncio.to_thread(trust, None)
        connector = aiohttp.TCPConnector(
            resolver=ThreadedResolver(), socket_factory=public_socket, ssl=self._trust, limit=1, force_close=True
        )
        # The limit is for all redirects together; no cookies, no proxy, no credentials of the environment.
        session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        try:
            async with asyncio.timeout(self._timeout_s), session:
                return await self._follow(session, url, path, hold)
        except TimeoutError:
            raise _refused(path, f"{_public_part(url)} did not answer within {self._timeout_s:g} s") from None
        except ValueError as error:  # a host name that cannot be encoded or is no plain address: `a..b`, `127.1`
            raise _refused(path, f"{_public_part(url)} could not be fetched: invalid host name") from error
        except (aiohttp.ClientError, OSError) as error:
            reason = "not at a public address" if _is_not_public(error) else "no answer"
            raise _refused(path, f"{_public_part(url)} could not be fetched: {reason}") from error

    async def _follow(
        self, session: aiohttp.ClientSession, url: str, path: str, hold: Callable[[int], None]
    ) -> Fetched:
        address = _parse(url, path)
        for _ in range(MAX_REDIRECTS + 1):
            async with session.get(address, allow_redirects=False, headers={"Accept-Encoding": "identity"}) as answer:
                if answer.status not in _REDIRECTS:
                    return await self._read(answer, url, path, hold)
                url = answer.headers.get("Location", "")
                address = _parse(url, path, address)
        raise _refused(path, f"{_public_part(url)} redirects more than {MAX_REDIRECTS} times")

    async def _read(self, answer: aiohttp.ClientResponse, url: str, path: str, hold: Callable[[int], None]) -> Fetched:
        if answer.status != 200:
            raise _refused(path, f"{_public_part(url)} answered {answer.status}")
        media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if not _MEDIA_TYPE.fullmatch(media_type):
            raise _refused(path, f"{_public_part(url)} has no Content-Type")
        content = bytearray()
        async for data in answer.content.iter_any():
            content += data
            if len(content) > self._max_bytes:
                raise _refused(path, f"{_public_part(url)} is larger than {self._max_bytes} bytes")
            hold(len(data))
        encoded = base64.b64encode(content).decode()
        hold(len(encoded) - len(content))
        return Fetched(media_type=media_type, data=encoded)


class NotPublic(OSError):
    """The address is in a network that is not public."""


def public_socket(address: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
    """Return a socket for `address`, as `getaddrinfo` has it and to which alone it is going to be connected. Raises
    NotPublic."""
    family, type_, protocol, _, place = address
    if not is_public(str(place[0])):
        raise NotPublic("not a public address")
    return socket.socket(family=family, type=type_, proto=protocol)


def is_public(address: str) -> bool:
    """Return whether an IP address is public, also where an IPv6 address carries an IPv4 one."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(ip.packed[-4:])
        if inner is not None:
            return is_public(str(inner))
        if ip not in _GLOBAL_UNICAST:
            return False
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _NOT_GLOBAL)


def _is_not_public(error: BaseException | None) -> bool:
    """Return whether an address that is not public is behind `error`."""
    while error is not None and not isinstance(error, NotPublic):
        error = error.__cause__
    return error is not None


def _parse(url: str, path: str, base: URL | None = None) -> URL:
    """Return `url`, which may be relative to `base`, as it is going to be asked. Raises BadRequest for other URLs than
    http and https, and for those with a user."""
    try:
        address = URL(url) if base is None else base.join(URL(url))
        fine = address.scheme in ("http", "https") and address.host and address.port and address.user is None
    except ValueError:
        fine = False
    if not fine:
        raise _refused(path, f"{_public_part(url)} is not an http or https URL")
    return address


def _refused(path: str, why: str) -> BadRequest:
    return BadRequest(f"{path}: {why}", code="media_not_fetched", param=path)


def _public_part(url: str) -> str:
    """Return the URL without the parts that may be secret."""
    parts = url.partition("?")[0].partition("#")[0]
    scheme, mark, rest = parts.partition("://")
    return repr((scheme + mark + rest.rpartition("@")[2])[:200])
