"""The five hooks. A middleware is one class that overrides those it needs; the others cost nothing.

Requests go down the list of middlewares, answers come back up it. Hooks that decide (`on_request`, `around`,
`on_response`) fail the request when they raise; hooks that watch (`on_chunk`, `on_end`) are logged and muted for that
exchange. See `hooks.py` for how they are called.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from llmproxy.answer import Answer
from llmproxy.exchange import Exchange
from llmproxy.metrics.sample import Sample
from llmproxy.metrics.stats_merge import sum_stats
from llmproxy.settings import Strict
from llmproxy.stores.open_stores import Stores
from llmproxy.wire.query import check_query


class Proceed(Protocol):
    """Makes the upstream call, up to the commit point."""

    def __call__(self, exchange: Exchange | None = None, /) -> Awaitable[Answer]:
        """Return the answer for `exchange`: another view of the one that is under way, or, without one, itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """A request for a page of a middleware.

    `name` is the path below the page's, decoded, None for the page itself. `query` has the parameters; one that
    is repeated was refused. `changing` is true for DELETE, false for reading.
    """

    name: str | None
    query: Mapping[str, str]
    changing: bool

    def expect(self, *names: str) -> None:
        """Raise BadRequest for a parameter that is none of `names`, and for one without a value: a page that ignored
        it would show, or delete, something else than was meant."""
        check_query(self.query, names)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageOperation:
    """One thing that a page does, for the description of the API: with a `method`, at the page itself or at the path
    of one entry `below` it. `query` has the JSON Schema of each parameter."""

    summary: str
    method: str = "GET"
    below: bool = False
    content_types: Sequence[str] = ("application/json",)
    query: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


class Middleware:
    """Base of every middleware, ours and yours.

    `Config` is what `config:` of its entry in the file is read into (strict: an unknown key is an error). The
    constructor gets it and has no side effects; `use_stores` is called once, then `start` and `close` are awaited once
    each, `close` drains what the middleware owns.
    """

    class Config(Strict):
        """No settings."""

    def __init__(self, config: Strict) -> None:
        self.config = config

    def use_stores(self, stores: Stores) -> None:
        """Open the stores of the middleware. Called once, before `start`.

        `stores.open(name)` returns the store of that name, "default" without one. The middleware keeps its `blobs`,
        `sessions` and `responses` for life. Stores are started and closed for it, and go on over a reload.
        """

    async def start(self) -> None:
        """Start what the middleware owns. Called once, before traffic."""

    async def close(self) -> None:
        """Close what the middleware owns. Called once, after the last exchange."""

    def describe(self) -> Mapping[str, object]:
        """Return its state for `/health`; empty when there is nothing to report. A member `lost`, the number of records
        that could not be written, becomes a metric. With a member `fault`, which says what does not work, `/health` is
        `degraded`.
        """
        return {}

    records_shadows: ClassVar[bool] = False
    """True where its `on_chunk` and `on_end` are called for shadow calls too, whose answers no client gets."""

    page_path: str | None = None
    """The path of its page, such as `/cache`; pages of single things are below it."""

    page_operations: ClassVar[Sequence[PageOperation]] = (PageOperation(summary="Read what a middleware shows"),)
    """What `/openapi.json` says of its page. Where a middleware says that of its page, or of the paths below it, all
    other methods are refused there."""

    async def page(self, request: PageRequest) -> Answer | Mapping[str, object] | None:
        """Return the page: an Answer (HTML, a stream of events), or a mapping, which is sent as JSON; None when there
        is nothing of that name. May raise ProxyError."""
        return None

    async def stats(self) -> Mapping[str, object]:
        """Return what `/stats` and `/metrics/json` show under the name of its type; empty for nothing."""
        return {}

    def merge_stats(self, parts: Sequence[Mapping[str, Any]]) -> Mapping[str, object]:
        """Return what `stats` of several workers together show; `parts` begins with that of the worker that was asked.
        By default numbers are added up."""
        return sum_stats(parts)

    pages_of_all: ClassVar[bool] = False
    """True where `page` is asked of every worker, for reading and for changing; `merge_pages` makes one of them."""

    def merge_pages(self, parts: Sequence[Mapping[str, Any]]) -> Mapping[str, object]:
        """Return the page for what `page` returned in several workers, at least one."""
        return parts[0]

    async def metrics(self) -> Sequence[Sample]:
        """Return what it adds to `/metrics`, the page for Prometheus."""
        return ()

    async def on_request(self, exchange: Exchange) -> Answer | None:
        """Run before a target is chosen.

        May change headers, model and top-level members, may answer, may raise ProxyError.
        """
        return None

    async def around(self, exchange: Exchange, proceed: Proceed) -> Answer:
        """Replace or repeat the upstream call (a cache, a shadow): `await proceed()` makes it, and
        `await proceed(exchange.view())` makes one that is recorded elsewhere."""
        return await proceed()

    async def on_response(self, exchange: Exchange, answer: Answer) -> None:
        """Run for every answer, ours and errors too: status and headers may be changed, nothing is sent yet."""

    def on_chunk(self, exchange: Exchange, data: bytes) -> None:
        """Watch a part of the body, exactly as it was just sent to the client. Must not block."""

    def on_end(self, exchange: Exchange) -> None:
        """Run last, always and once, also after errors and when the client left. Hands I/O to a worker it owns."""
