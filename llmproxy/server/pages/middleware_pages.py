"""The pages and figures that middlewares add to our own: `/sessions` and `/sessions/{id}`, `/cache` and `/cache/{key}`,
what `/stats` and `/metrics` show.

Reading a page is open to everybody; changing what it shows is for a peer on this machine, or for whoever has
`server.admin_key`. Begin reading at `Extras.write`.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from urllib.parse import parse_qsl, unquote, urlsplit

from llmproxy.errors import ProxyError
from llmproxy.exchange import Exchange
from llmproxy.metrics.sample import Sample
from llmproxy.middleware.base import Middleware, PageRequest

# The middlewares of ours that have a page, which is reserved also where they are not configured.
_RESERVED = {"/sessions": "sessions", "/cache": "cache"}
_METHODS = ("GET", "HEAD", "DELETE")
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


class Extras:
    """What the middlewares of one configuration show. `admin_key` is empty where there is none."""

    def __init__(self, middlewares: Sequence[tuple[str, Middleware]], admin_key: str) -> None:
        self._middlewares = middlewares
        self._admin_key = admin_key
        self._pages: dict[str, Middleware] = {}
        for _, middleware in middlewares:
            if middleware.page_path is not None:
                self._pages.setdefault(middleware.page_path, middleware)
        self._paths = {*_RESERVED, *self._pages}
        self._beginnings = tuple(self._paths)

    def owns(self, path: str) -> str | None:
        """The page that `path` is, or that it is below of."""
        if not path.startswith(self._beginnings):
            return None
        end = path.find("/", 1)
        first = path if end < 0 else path[:end]
        return first if first in self._paths else None

    async def write(self, exchange: Exchange, page: str) -> Mapping[str, object]:
        """The content of `page`, or of what stands below it. Raises ProxyError."""
        below = unquote(exchange.full_path[len(page) + 1 :]) or None
        exchange.template, exchange.own = (page if below is None else f"{page}/{{name}}"), True
        if exchange.method not in _METHODS:
            raise ProxyError(
                f"{page} can be read and deleted from: use GET or DELETE",
                status=405,
                code="method_not_allowed",
                headers=(("Allow", ", ".join(_METHODS)),),
            )
        middleware = self._pages.get(page)
        if middleware is None:
            type_ = _RESERVED[page]
            told = f"There is no middleware {type_!r} here; add `- type: {type_}` to `middlewares` in the configuration"
            raise ProxyError(told, status=404, code="not_configured")
        changing = exchange.method == "DELETE"
        if changing:
            self._permit(exchange)
        query = dict(parse_qsl(exchange.query or "", keep_blank_values=True))
        content = await middleware.page(PageRequest(name=below, query=query, changing=changing))
        if content is None:
            raise ProxyError(f"There is no {(below or '')[:100]!r} at {page}", status=404, code="not_found")
        return content

    def _permit(self, exchange: Exchange) -> None:
        """Raises ProxyError unless the peer may change things here."""
        sent = exchange.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if self._admin_key and hmac.compare_digest(sent.encode("utf-8", "replace"), self._admin_key.encode()):
            return
        if _is_here(exchange) and not _foreign(exchange):
            return
        raise ProxyError(
            "This can be changed from this machine only, or with `server.admin_key` as a bearer token",
            status=403,
            code="forbidden",
        )

    async def stats(self) -> dict[str, object]:
        """What `/stats` and the JSON metrics show, by type; of several of a type the first."""
        shown: dict[str, object] = {}
        for type_, middleware in self._middlewares:
            if type_ not in shown and (stats := await middleware.stats()):
                shown[type_] = stats
        return shown

    async def metrics(self) -> list[Sample]:
        """What Prometheus is shown."""
        samples = {each.name: each for _, one in reversed(self._middlewares) for each in await one.metrics()}
        return list(samples.values())


def _is_here(exchange: Exchange) -> bool:
    """Whether the request comes from this machine itself, and not from somebody behind a proxy on it."""
    if any(name in exchange.headers for name in _FORWARDED):
        return False
    return exchange.client.address == "unix" or _is_loopback(exchange.client.address)


def _is_loopback(address: str) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if found.version == 6 else None
    return (mapped or found).is_loopback


def _foreign(exchange: Exchange) -> bool:
    """Whether a page of another site asks, through a browser. A site whose name was made to mean this machine asks with
    that name for both, so only the usual names are ours."""
    origin = exchange.headers.get("Origin")
    if origin is None:
        return False
    try:
        parts = urlsplit(origin)
    except ValueError:
        return True
    named = parts.hostname == "localhost" or _is_loopback(parts.hostname or "")
    return not named or parts.netloc != exchange.headers.get("Host")
