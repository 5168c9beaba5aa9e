"""Targets that answer by a script, and a failover over them with a clock that the test moves.

A script is a status, an answer or an error; bytes are a stream, "down" is a connection fault, "hang" never ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from llmproxy.answer import Answer, Headers
from llmproxy.client_request import ClientRequest
from llmproxy.errors import UpstreamError
from llmproxy.exchange import Exchange, MemoryBudget
from llmproxy.failover.attempt import Attempts
from llmproxy.failover.failover import Failover
from llmproxy.limiting.target_quotas import TargetQuotas
from llmproxy.route import RetryPolicy, Route, Strategy
from llmproxy.routing.health import Health
from llmproxy.stores.memory import MemoryResponses
from llmproxy.stores.memory_quotas import MemoryQuotas
from llmproxy.target import Provider, Target, UpstreamRequest
from llmproxy.target_health import BreakerSettings
from llmproxy.translation.translator import Translator
from tests.support.exchanges import new_exchange
from tests.support.pieces import Pieces

USED_UP = (("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "4s"))
"""Headers of an answer that leave nothing of a limit for four seconds."""

Outcome = int | str | bytes | Answer | Exception


def reply(status: int, *headers: tuple[str, str], body: bytes = b"{}") -> Answer:
    """Return a whole answer."""
    return Answer(status=status, headers=Headers([("Content-Type", "application/json"), *headers]), body=body)


class Moody(Provider):
    """A provider that answers by its script, the last outcome of which stays."""

    type, models, patterns, priority, sole_catch_all = "moody", (), (), 1, False
    speaks = frozenset({"chat"})

    def __init__(self, name: str, *script: Outcome) -> None:
        self.name = name
        self.script: list[Outcome] = list(script) or [200]
        self.asked: list[ClientRequest] = []

    def prepare(self, request: ClientRequest, target: Target) -> None:
        return None

    async def answer(self, request: ClientRequest, target: Target) -> Answer:
        self.asked.append(request)
        outcome = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if outcome == "down":
            raise UpstreamError(f"{self.name} could not be reached")
        if isinstance(outcome, Exception):
            raise outcome
        if outcome == "slow failure":
            await asyncio.sleep(0.01)
            return reply(503)
        if outcome == "hang":
            await asyncio.Event().wait()
        if isinstance(outcome, bytes):
            headers = Headers({"Content-Type": "text/event-stream"})
            return Answer(status=200, headers=headers, stream=Pieces(outcome))
        return reply(outcome) if isinstance(outcome, int) else outcome  # type: ignore[return-value]  # only answers are left


class Line:
    """A failover over targets of these providers, and its clock: `waits` are the times that it slept."""

    def __init__(
        self,
        *providers: Provider,
        policy: RetryPolicy | None = None,
        strategy: Strategy | None = None,
        breaker: BreakerSettings | None = None,
        jitter: float = 1.0,
        **target: Any,
    ) -> None:
        self.now_s = 1000.0
        self._tick_s = self._early_s = 0.0
        self.waits: list[float] = []
        self.health = Health()
        settings = breaker or BreakerSettings()
        self.targets = tuple(
            Target(provider=each, health=self.health.of(each.name, None, settings), **target) for each in providers
        )
        self.route = Route(
            name="m", targets=self.targets, policy=policy or RetryPolicy(), strategy=strategy or Strategy()
        )
        self.budget = budget = MemoryBudget(1 << 20)
        attempts = Attempts(self._open, budget, Translator(MemoryResponses(1 << 20), budget))
        self.failover = Failover(
            attempts,
            self.health,
            now=self._now,
            sleep=self._sleep,
            pause=self._pause,
            jitter=lambda: jitter,
            quotas=TargetQuotas(MemoryQuotas(100, lambda: self.now_s)),
        )

    async def _open(self, request: UpstreamRequest) -> Answer:
        raise AssertionError("the providers answer by themselves")

    def move(self, tick_s: float, early_s: float) -> None:
        """Let the clock move by `tick_s` with each look at it, and let sleeps end `early_s` before their time."""
        self._tick_s, self._early_s = tick_s, early_s

    def _now(self) -> float:
        self.now_s += self._tick_s
        return self.now_s

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now_s += max(seconds - self._early_s, 0.0)

    async def _pause(self, seconds: float, event: asyncio.Event) -> None:
        if not event.is_set():
            await self._sleep(seconds)

    def exchange(self, *headers: tuple[str, str], **members: object) -> Exchange:
        """Return a request for the model `m`."""
        exchange = new_exchange("/v1/chat/completions", *headers, body={"model": "m", "messages": [], **members})
        exchange.route, exchange.started_s = self.route, self.now_s
        exchange.stream = bool(members.get("stream"))
        return exchange

    async def ask(self, exchange: Exchange | None = None) -> Answer:
        """Return the answer to a request."""
        return await self.failover.answer(exchange or self.exchange(), self.route)


def asked(providers: Sequence[Moody]) -> list[int]:
    """Return how often each was called."""
    return [len(each.asked) for each in providers]
