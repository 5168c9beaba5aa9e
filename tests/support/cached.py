"""A server with a cache and a fake upstream, and clients that send the same request at the same time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

from llmproxy.answer import Answer
from llmproxy.exchange import Exchange
from llmproxy.middleware.base import Middleware, Proceed
from llmproxy.middleware.cache import Cache
from llmproxy.stores.open_stores import Stores
from llmproxy.target import Provider
from tests.support.proxy import CHAT, Listening
from tests.support.raw_http import RawAnswer, RawClient
from tests.support.waiting import PATIENCE_S, until

ASK: dict[str, Any] = {"model": "gpt-x", "temperature": 0, "messages": [{"role": "user", "content": "hi"}]}
BASE = b'{"model":"gpt-x","temperature":0,"messages":[]'
STREAM: dict[str, Any] = ASK | {"stream": True, "stream_options": {"include_usage": True}}


class Turnstile(Middleware):
    """A middleware that counts the requests before the cache."""

    def __init__(self) -> None:
        super().__init__(self.Config())
        self.entered = 0

    async def around(self, exchange: Exchange, proceed: Proceed) -> Answer:
        self.entered += 1
        return await proceed()


class Cached:
    """The server and upstream of a cache test. Begin reading at `cached`."""

    def __init__(self, server: Listening, cache: Cache, turnstile: Turnstile) -> None:
        self.server = server
        self.cache = cache
        self._turnstile = turnstile

    def ask(self, value: object = ASK, *headers: str, path: str = CHAT) -> RawAnswer:
        """Return the answer to one client after its exchange is recorded, and so stored, if it is storable."""
        ended = len(self.server.ended)
        answer = self.server.post(value, "Connection: close", *headers, path=path)
        self.server.wait_ended(ended + 1)
        return answer

    def missed(self, value: object = ASK, *headers: str, path: str = CHAT) -> bool:
        """Return whether the request calls the upstream."""
        return self.ask(value, *headers, path=path).value("x-cache") != "hit"

    def raw(self, data: bytes, *headers: str) -> RawAnswer:
        """Return the same for these bytes as a chat request."""
        ended = len(self.server.ended)
        with self.server.client() as client:
            client.request("POST", CHAT, "Content-Type: application/json", "Connection: close", *headers, body=data)
            answer = client.read_answer()
        self.server.wait_ended(ended + 1)
        return answer

    @contextlib.contextmanager
    def together(self, *values: object, headers: tuple[str, ...] = (), path: str = CHAT) -> Iterator[list[RawClient]]:
        """Start clients one after the other; each waits for its answer."""
        with contextlib.ExitStack() as stack:
            clients: list[RawClient] = []
            for value in values:
                entered = self._turnstile.entered
                client = stack.enter_context(self.server.client())
                client.post(path, value, "Connection: close", *headers)
                until(lambda entered=entered: self._turnstile.entered > entered, "the request to reach the cache")  # type: ignore[misc]  # a default is its value
                self.settle()
                clients.append(client)
            yield clients

    def settle(self) -> None:
        """Wait until the server is idle."""

        async def turns() -> None:
            for _ in range(20):
                await asyncio.sleep(0)

        self.server.begin(turns()).result(PATIENCE_S)

    def figures(self) -> dict[str, Any]:
        """Return the page of the cache."""
        return dict(self.server.begin(self._figures()).result(PATIENCE_S))

    async def _figures(self) -> Any:
        return await self.cache.stats()

    def wait_stored(self, entries: int) -> None:
        """Wait until that many answers are in the store."""
        until(lambda: self.figures()["entries"] == entries, f"{entries} entries")


@contextlib.contextmanager
def cached(
    *providers: Provider, inner: Middleware | None = None, stores: Stores | None = None, **config: Any
) -> Iterator[Cached]:
    """Yield the server; `config` is the cache's. That nothing is held or running is checked at the end."""
    cache, turnstile = Cache(Cache.Config.model_validate(config)), Turnstile()
    stores = stores or Stores()
    cache.use_stores(stores)
    middlewares = [turnstile, cache, *([inner] if inner else [])]
    with Listening(*providers, middlewares=middlewares) as server:
        server.begin(stores.start()).result(PATIENCE_S)
        server.begin(cache.start()).result(PATIENCE_S)
        try:
            yield Cached(server, cache, turnstile)
        finally:
            server.begin(cache.close()).result(PATIENCE_S)
            server.begin(stores.close()).result(PATIENCE_S)
