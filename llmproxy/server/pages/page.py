"""One of our own pages: its path in metrics, who may ask for it, and what writes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from llmproxy.access.admission import Audience
from llmproxy.answer import Answer
from llmproxy.errors import method_not_allowed
from llmproxy.exchange import Exchange
from llmproxy.middleware.base import PageOperation
from llmproxy.server.pages.openapi import DescribedPage
from llmproxy.server.pages.operations import JSON

READING = ("GET", "HEAD")


class Handler(Protocol):
    """Answers requests for one of our pages. `template` is its path in metrics, `audience` who may ask for it."""

    @property
    def template(self) -> str: ...
    @property
    def audience(self) -> Audience: ...

    def __call__(self, exchange: Exchange) -> Awaitable[Answer]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page, and what writes it. HEAD is answered like GET; the edge sends no body."""

    template: str
    write: Callable[[Exchange], Awaitable[Answer]]
    summary: str
    audience: Audience = Audience.OPERATORS
    methods: Sequence[str] = READING
    content_types: Sequence[str] = (JSON,)
    query: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    def described(self, path: str) -> DescribedPage:
        """Return what `/openapi.json` says of it at `path`."""
        operation = PageOperation(
            method=self.methods[0], summary=self.summary, content_types=self.content_types, query=self.query
        )
        return DescribedPage(path=path, audience=self.audience, operations=(operation,))

    async def __call__(self, exchange: Exchange) -> Answer:
        if exchange.method not in self.methods:
            raise method_not_allowed(exchange.method, self.template, self.methods)
        return await self.write(exchange)
