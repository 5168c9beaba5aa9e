"""Fetches the images and documents that a client named by URL, for providers that take them only inside the request.

A URL of a client's is a way into the network where the proxy runs, so only public addresses are asked: each address is
checked after the name was resolved, the connection goes to exactly that address, and every redirect is checked again.
Size and time are limited. Begin reading at `MediaFetcher`.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import re
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from llmproxy.errors import BadRequest
from llmproxy.upstream.egress import trust

MAX_REDIRECTS = 5
_MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]+")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# NAT64 and 6to4 carry an IPv4 address inside (RFC 6052, RFC 3056).
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


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

    async def fetch(self, url: str, path: str) -> Fetched:
        """Return the content of `url`, at the JSON path `path` of a request. Raises BadRequest that says why not."""
        if self._trust is None:
            self._trust = await asyncio.to_thread(trust, None)
        connector = aiohttp.TCPConnector(resolver=PublicResolver(), ssl=self._trust, limit=1, force_close=True)
        # The limit is for all redirects together; no cookies, no proxy, no credentials of the environment.
        session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        try:
            async with asyncio.timeout(self._timeout_s), session:
                return await self._follow(session, url, path)
        except TimeoutError:
            raise _refused(path, f"{_public_part(url)} did not answer within {self._timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            reason = str(error.__cause__) if isinstance(error.__cause__, NotPublic) else "no answer"
            raise _refused(path, f"{_public_part(url)} could not be fetched: {reason}") from error

    async def _follow(self, session: aiohttp.ClientSession, url: str, path: str) -> Fetched:
        for _ in range(MAX_REDIRECTS + 1):
            _check(url, path)
            async with session.get(url, allow_redirects=False, headers={"Accept-Encoding": "identity"}) as answer:
                if answer.status not in _REDIRECTS:
                    return await self._read(answer, url, path)
                url = urljoin(url, answer.headers.get("Location", ""))
        raise _refused(path, f"{_public_part(url)} redirects more than {MAX_REDIRECTS} times")

    async def _read(self, answer: aiohttp.ClientResponse, url: str, path: str) -> Fetched:
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
        return Fetched(media_type=media_type, data=base64.b64encode(content).decode())


class NotPublic(OSError):
    """The name or address is in a network that is not public."""


class PublicResolver(AbstractResolver):
    """Resolves names to public addresses only; a name with any other address is refused as a whole."""

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        addresses = await self._resolver.resolve(host, port, family)
        for each in addresses:
            if not is_public(each["host"]):
                raise NotPublic(f"{host} is not at a public address")
        return addresses

    async def close(self) -> None:
        await self._resolver.close()


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
    return ip.is_global and not ip.is_multicast


def _check(url: str, path: str) -> None:
    """Refuse other URLs than http and https, and literal addresses that are not public, which no resolver sees."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        fine = parts.scheme in ("http", "https") and host and parts.port != 0 and not parts.username
    except ValueError:
        fine, host = False, ""
    if not fine:
        raise _refused(path, f"{_public_part(url)} is not an http or https URL")
    literal = host.rstrip(".")
    # "127.1", "0x7f.1" and "2130706433" are addresses too, for those who connect.
    if re.fullmatch(r"[0-9a-fx.]+", literal) and re.search(r"\d$", literal):
        try:
            literal = socket.inet_ntoa(socket.inet_aton(literal))
        except OSError:
            return
    elif ":" not in literal:
        return
    if not is_public(literal):
        raise _refused(path, f"{_public_part(url)} is not at a public address")


def _refused(path: str, why: str) -> BadRequest:
    return BadRequest(f"{path}: {why}", code="media_not_fetched", param=path)


def _public_part(url: str) -> str:
    """Return the URL without the parts that may be secret."""
    parts = url.partition("?")[0].partition("#")[0]
    scheme, mark, rest = parts.partition("://")
    return repr((scheme + mark + rest.rpartition("@")[2])[:200])
