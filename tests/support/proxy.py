"""Run the server in the test process: an Edge on a real socket, with the providers and middlewares of a test.

It runs in a thread of its own, so that a test drives it with a `RawClient`. On leaving it is stopped; an exchange that
was not ended exactly once, or bytes that are still counted as held, fail the test.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from llmproxy.access.admission import Admission
from llmproxy.answer import Answer
from llmproxy.client_request import ClientRequest
from llmproxy.exchange import Exchange, MemoryBudget
from llmproxy.metrics.counters import Metrics
from llmproxy.middleware.base import Middleware
from llmproxy.middleware.hooks import Hooks
from llmproxy.pipeline import Pipeline
from llmproxy.providers.openai import OpenAI
from llmproxy.routing.router import Router
from llmproxy.server.edge import Edge
from llmproxy.server.pages.admin import Admin
from llmproxy.server.pages.models import ModelList
from llmproxy.server.pages.openapi import OpenApi
from llmproxy.server.pages.page_state import EffectiveConfig, ProcessState
from llmproxy.server.request_body import Limits
from llmproxy.server.shared import Shared
from llmproxy.stores.memory import MemoryResponses
from llmproxy.target import Provider
from llmproxy.translation.translator import Translator
from llmproxy.upstream.pool import Upstream as Pool
from tests.support.pipelines import pipeline_over
from tests.support.raw_http import RawAnswer, RawClient
from tests.support.waiting import PATIENCE_S, until

T = TypeVar("T")

CHAT = "/v1/chat/completions"
ASK: dict[str, object] = {"model": "gpt-x", "messages": []}


def limited(
    *,
    max_head_size: int = 1 << 16,
    max_body_size: int | None = 1 << 20,
    max_upload_size: int | None = None,
    header_timeout_s: float = 10.0,
    keepalive_timeout_s: float = 10.0,
    body_timeout_s: float = 10.0,
    body_total_timeout_s: float | None = 60.0,
) -> Limits:
    """Return the limits for requests; generous by default."""
    return Limits(
        max_head_size=max_head_size,
        max_body_size=max_body_size,
        max_upload_size=max_upload_size,
        header_timeout_s=header_timeout_s,
        keepalive_timeout_s=keepalive_timeout_s,
        body_timeout_s=body_timeout_s,
        body_total_timeout_s=body_total_timeout_s,
    )


class Recorder(Middleware):
    """A middleware that keeps every finished exchange, and the bytes sent to its client."""

    def __init__(self) -> None:
        super().__init__(self.Config())
        self.ended: list[Exchange] = []
        self.sent: dict[str, bytes] = {}

    def on_chunk(self, exchange: Exchange, data: bytes) -> None:
        self.sent[exchange.id] = self.sent.get(exchange.id, b"") + data

    def on_end(self, exchange: Exchange) -> None:
        self.ended.append(exchange)


class Scripted(Provider):
    """A provider that answers by itself: with the value `says`, by calling it, or by raising it."""

    type, models, priority, sole_catch_all = "scripted", (), 1, False
    speaks = frozenset({"chat", "responses", "messages"})

    def __init__(self, name: str, says: Answer | Exception | Callable[[ClientRequest], Answer]) -> None:
        self.name = name
        self.patterns = ("gpt-*",)
        self._says = says
        self.asked: list[str | None] = []

    def prepare(self, request: ClientRequest, target: object) -> None:
        return None

    async def answer(self, request: ClientRequest, target: object) -> Answer:
        self.asked.append(request.held.model)
        if isinstance(self._says, Exception):
            raise self._says
        return self._says if isinstance(self._says, Answer) else self._says(request)


class Addressed(Protocol):
    """Something with an address."""

    @property
    def url(self) -> str: ...


def provider(upstream: Addressed, name: str = "main", **keys: Any) -> OpenAI:
    """Return a provider of the type `openai` that is `upstream`."""
    keys = {"name": name, "type": "openai", "base_url": f"{upstream.url}/v1", "api_key": "k", "proxy": None, **keys}
    return OpenAI(OpenAI.Config.model_validate(keys))


class Made:
    """A Runtime from the parts of a test. `running` counts its exchanges."""

    def __init__(self, pipeline: Pipeline, admin: Admin, limits: Limits, admission: Admission) -> None:
        self.pipeline = pipeline
        self.admin = admin
        self.limits = limits
        self.admission = admission
        self.running = 0
        self.begun = 0

    def enter(self) -> None:
        self.running += 1
        self.begun += 1

    def leave(self) -> None:
        self.running -= 1


class Listening:
    """`with Listening(provider(upstream)) as server`. `factory` makes the event loop."""

    def __init__(
        self,
        *providers: Provider,
        middlewares: Sequence[Middleware] = (),
        held_bytes: int = 1 << 30,
        factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
        limits: Limits | None = None,
        estimates: bool = False,
    ) -> None:
        self.recorder = Recorder()
        self.budget = MemoryBudget(held_bytes)
        self.metrics = Metrics(lambda: self.budget.used_bytes)
        self.port = 0
        self.runtime: Made
        self.edge: Edge
        self._providers = providers
        self._middlewares = middlewares
        self._limits = limits or limited()
        self._factory = factory
        self._estimates = estimates
        self._loop: asyncio.AbstractEventLoop
        self._leaving: asyncio.Event
        self._ready = threading.Event()
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="listening", daemon=True)

    @property
    def ended(self) -> list[Exchange]:
        """Return the exchanges that are over, in the order in which they ended."""
        return self.recorder.ended

    def wait_ended(self, count: int = 1) -> Exchange:
        """Wait until `count` exchanges are over; the last of them."""
        until(lambda: len(self.ended) >= count, f"{count} exchanges to end")
        assert len(self.ended) == count, [(each.method, each.full_path, each.outcome) for each in self.ended]
        return self.ended[-1]

    def sent(self, exchange: Exchange) -> bytes:
        """Return the body that the client was sent, as on_chunk saw it."""
        return self.recorder.sent.get(exchange.id, b"")

    def client(self, receive_buffer: int | None = None) -> RawClient:
        return RawClient(("127.0.0.1", self.port), receive_buffer=receive_buffer)

    def post(self, value: object = ASK, *headers: str, path: str = CHAT) -> RawAnswer:
        """Return the answer to one POST of JSON on a connection of its own."""
        with self.client() as client:
            client.post(path, value, *headers)
            return client.read_answer()

    def wait_counted(self, expected: int, **labels: str) -> None:
        """Wait until `expected` requests were counted that have these labels (method, path, status), and no more."""
        until(lambda: self._counted(labels) >= expected, f"{expected} requests to be counted as {labels}")
        assert self._counted(labels) == expected

    def _counted(self, labels: dict[str, str]) -> int:
        match = dict(self.metrics.requests).items()
        return sum(sum(requests.durations.counts) for key, requests in match if labels.items() <= key._asdict().items())

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start `work` in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def stop(self, timeout_s: float) -> Future[None]:
        """Begin to stop, as after a signal."""
        return self.begin(self.edge.stop(timeout_s))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)
        if self._fault:
            raise self._fault
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._leaving.set)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        if self._fault:
            raise self._fault
        if fault is None:
            assert (self.runtime.running, self.metrics.in_flight, self.budget.used_bytes) == (0, 0, 0)
            assert len({exchange.id for exchange in self.ended}) == len(self.ended)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._factory) as runner:
                runner.run(self._serve())
        except BaseException as fault:
            self._fault = fault
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._leaving = asyncio.Event()
        pool = Pool()
        self.runtime = self._build(pool)
        shared = Shared(self.runtime, self.metrics, self.budget)
        self.edge = Edge(shared)
        listener = await self._loop.create_server(self.edge, "127.0.0.1", 0)
        self.port = listener.sockets[0].getsockname()[1]
        self._ready.set()
        await self._leaving.wait()
        listener.close()
        await self.edge.stop(0.5)
        await pool.close()

    def _build(self, pool: Pool) -> Made:
        router = Router(self._providers)
        named = [(f"{number}", each) for number, each in enumerate([*self._middlewares, self.recorder])]
        admin = Admin(
            ProcessState(
                version="0",
                started_s=time.monotonic(),
                metrics=self.metrics,
                stopping=lambda: self.edge.shared.stopping,
                running=lambda: self.edge.shared.running,
            ),
            EffectiveConfig(providers=self._providers, middlewares=named),
            ModelList(router, self._providers, pool.open),
            OpenApi(router, version="0"),
        )
        translator = Translator(MemoryResponses(1 << 20), self.budget, estimates=self._estimates)
        return Made(
            pipeline_over(router, pool.open, Hooks(named), budget=self.budget, translator=translator),
            admin,
            self._limits,
            Admission(self._providers),
        )


def loops() -> list[Callable[[], asyncio.AbstractEventLoop]]:
    """Return the factories of the event loops of the program, on this and other systems."""
    if sys.platform == "win32":
        return [asyncio.new_event_loop]
    import uvloop

    return [asyncio.new_event_loop, uvloop.new_event_loop]
