"""The pages and figures that middlewares add to our own: `/sessions` and `/sessions/{id}`, `/cache` and `/cache/{key}`,
what `/stats` and `/metrics` show.

Who may read and who may change them is decided before, in `access/exposure.py`. Begin reading at
`MiddlewarePages.write`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import unquote

from llmproxy.access.admission import Audience
from llmproxy.answer import Answer
from llmproxy.errors import BadRequest, ProxyError, method_not_allowed
from llmproxy.exchange import Exchange
from llmproxy.metrics.sample import Sample
from llmproxy.middleware.base import Middleware, PageRequest
from llmproxy.server.pages.json_page import json_page
from llmproxy.server.pages.openapi import DescribedPage
from llmproxy.server.pages.page import READING
from llmproxy.server.peers import Merge, PagePart, PageQuestion, Peers
from llmproxy.user_code import is_cancellation, log_failure
from llmproxy.wire.query import parse_query

log = logging.getLogger(__name__)

T = TypeVar("T")

# The middlewares of ours that have a page, which is reserved also where they are not configured.
_RESERVED = {"/sessions": "sessions", "/cache": "cache"}
_METHODS = ("GET", "HEAD", "DELETE")


class MiddlewarePages:
    """What the middlewares of one configuration show."""

    def __init__(self, middlewares: Sequence[tuple[str, Middleware]]) -> None:
        self._middlewares = middlewares
        self._names = {middleware: type_ for type_, middleware in middlewares}
        self._pages: dict[str, Middleware] = {}
        for _, middleware in middlewares:
            if middleware.page_path is not None:
                self._pages.setdefault(middleware.page_path, middleware)
        self._paths = {*_RESERVED, *self._pages}
        self._beginnings = tuple(self._paths)

    def owns(self, path: str) -> str | None:
        """Return the page that is `path` or above it, None where no middleware has one."""
        if not path.startswith(self._beginnings):
            return None
        end = path.find("/", 1)
        first = path if end < 0 else path[:end]
        return first if first in self._paths else None

    def described(self) -> Iterator[DescribedPage]:
        """Yield what `/openapi.json` says of the pages."""
        for path, middleware in self._pages.items():
            yield DescribedPage(path=path, audience=Audience.OPERATORS, operations=middleware.page_operations)

    async def write(self, exchange: Exchange, page: str, peers: Peers | None = None) -> Answer:
        """Return `page`, or the one below it that `exchange` asks for. Raises ProxyError.

        `peers` are asked too where the page speaks of all workers.
        """
        below = unquote(exchange.full_path[len(page) + 1 :]) or None
        middleware = self._pages.get(page)
        if middleware is None:
            type_ = _RESERVED[page]
            message = f"The middleware {type_!r} is not configured; add `- type: {type_}` to `middlewares`"
            raise ProxyError(message, status=404, code="not_configured")
        if exchange.method not in (methods := _methods(middleware, below=below is not None)):
            path = page if below is None else f"{page}/{{name}}"
            raise method_not_allowed(exchange.method, path, methods)
        changing = exchange.method == "DELETE"
        query = parse_query(exchange.query)
        if changing:
            _check_change(exchange, page, query)
        request = PageRequest(name=below, query=query, changing=changing)
        try:
            content = await middleware.page(request)
            if peers is not None and middleware.pages_of_all and not isinstance(content, Answer):
                content = await self._merged(middleware, content, peers, page, request)
            if content is not None:
                return content if isinstance(content, Answer) else json_page(content)
        except ProxyError:
            raise
        except BaseException as error:
            raise log_failure(
                f"the page {page} of middleware {self._names[middleware]!r}", exchange.id, error
            ) from error
        raise ProxyError(f"Not found: {(below or '')[:100]!r} at {page}", status=404, code="not_found")

    async def part(self, question: PageQuestion) -> PagePart:
        """Return a page of this worker, which another one was asked for."""
        middleware = self._pages.get(question.page)
        if middleware is None or not middleware.pages_of_all:
            return PagePart(content=None)
        request = PageRequest(name=question.name, query=question.query, changing=question.changing)
        try:
            content = await middleware.page(request)
        except ProxyError as error:
            log.warning("%s of this worker is missing from the page of all: %s", question.page, error.message)
            content = None
        return PagePart(content=None if content is None or isinstance(content, Answer) else dict(content))

    async def _merged(
        self,
        middleware: Middleware,
        own: Mapping[str, object] | None,
        peers: Peers,
        page: str,
        request: PageRequest,
    ) -> Mapping[str, object] | None:
        """Return the page of all workers, where `own` is that of this one."""
        question = PageQuestion(page=page, name=request.name, query=dict(request.query), changing=request.changing)
        others = [part.content for part in await peers.page(question)]
        parts = [part for part in (own, *others) if part is not None]
        return middleware.merge_pages(parts) if parts else None

    def merges(self) -> dict[str, Merge]:
        """Return how the figures of workers become one, by type; of several of a type the first, as in `stats`."""
        return {type_: middleware.merge_stats for type_, middleware in reversed(self._middlewares)}

    async def stats(self) -> dict[str, dict[str, Any]]:
        """Return what `/stats` and the JSON metrics show, by type; of several of a type the first."""
        by_type: dict[str, dict[str, Any]] = {}
        for type_, middleware in self._middlewares:
            if type_ not in by_type and (stats := await _collect(type_, "stats", middleware.stats)):
                by_type[type_] = dict(stats)
        return by_type

    async def metrics(self) -> list[Sample]:
        """Return the samples for Prometheus."""
        samples: dict[tuple[str, object], Sample] = {}
        for type_, middleware in reversed(self._middlewares):
            found = await _collect(type_, "metrics", middleware.metrics)
            listed = found if isinstance(found, (list, tuple)) else ()
            samples |= {(each.name, each.labels): each for each in listed if _valid(each)}
        return list(samples.values())

    def states(self) -> list[tuple[str, Mapping[str, object]]]:
        """Return what the middlewares say of their state, with their types."""
        return [(type_, _state(type_, middleware)) for type_, middleware in self._middlewares]


async def _collect(type_: str, method: str, call: Callable[[], Awaitable[T]]) -> T | None:
    """Return what a middleware shows; None when it fails, which is logged and takes no page with it."""
    try:
        return await call()
    except BaseException as error:
        if is_cancellation(error):
            raise
        log.error("%s of middleware %r failed with %s", method, type_, type(error).__name__, exc_info=error)
        return None


def _valid(sample: object) -> bool:
    return isinstance(sample, Sample) and isinstance(sample.name, str) and isinstance(sample.value, (int, float))


def _state(type_: str, middleware: Middleware) -> Mapping[str, object]:
    try:
        return dict(middleware.describe())
    except BaseException as error:
        log.error("describe of middleware %r failed with %s", type_, type(error).__name__, exc_info=error)
        return {"error": f"describe failed with {type(error).__name__}"}


def _methods(middleware: Middleware, *, below: bool) -> Sequence[str]:
    """Return the methods of the page, or of the paths `below` it. Of a page that does not describe what it does, and of
    paths that do not exist, only the page itself knows that."""
    described = [each.method for each in middleware.page_operations if each.below is below]
    if not described or middleware.page_operations is Middleware.page_operations:
        return _METHODS
    return [*(READING if "GET" in described else ()), *(each for each in described if each not in READING)]


def _check_change(exchange: Exchange, page: str, query: Mapping[str, str]) -> None:
    """Raise BadRequest where the request seems to mean less than the whole of `page`, and says not what: an empty name
    (`/cache/`), a query without parameters (`?`, `?&`), a body, which is not read."""
    headers = exchange.headers
    if exchange.full_path == f"{page}/":
        raise BadRequest(f"The name is missing after {page}/. Use {page} itself to delete everything")
    if exchange.query is not None and not query:
        raise BadRequest(f"The query is empty. Use {page} without a question mark to delete everything")
    body = "Transfer-Encoding" in headers or headers.get("Content-Length", "0") != "0"
    if body and exchange.full_path == page:
        raise BadRequest(f"DELETE {page} reads no body. Name what to delete in the path or the query")
