"""What may stand in for the pool, the credentials of providers and the choice of targets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.body import Body
from llmproxy.call import Call
from llmproxy.client_request import ClientRequest
from llmproxy.errors import ProxyError, UpstreamError
from llmproxy.exchange import Exchange
from llmproxy.route import Route, Strategy
from llmproxy.routing.affinity import Affinity
from llmproxy.routing.router import Router
from llmproxy.target import OpenUpstream, Origin, Provider, Target, UpstreamRequest
from tests.support.exchanges import new_exchange
from tests.support.pieces import Pieces
from tests.support.pipelines import pipeline_over
from tests.support.waiting import PATIENCE_S

ORIGIN = Origin(scheme="https", host="api.example.com", port=443)


class Simple(Provider):
    """Sends the client's body to a path of its own."""

    def __init__(self, name: str) -> None:
        self.name = self.type = name
        self.speaks, self.patterns, self.models = frozenset({"chat"}), (), ()
        self.priority, self.sole_catch_all = 100, False

    def prepare(self, request: ClientRequest, target: Target) -> UpstreamRequest:
        path = f"/deployments/{target.model}/chat"
        return UpstreamRequest(origin=ORIGIN, method="POST", target=path, headers=Headers(), body=request.body)


class Expiring(Simple):
    """Needs a token that expires after each call."""

    token = 0

    async def ready(self) -> None:
        self.token += 1

    def prepare(self, request: ClientRequest, target: Target) -> UpstreamRequest:
        prepared = super().prepare(request, target)
        prepared.headers["Authorization"] = f"Bearer token-{self.token}"
        return prepared


class Locked(Simple):
    async def ready(self) -> None:
        raise UpstreamError("no token", code="no_token")


class LastFirst(Strategy):
    def __init__(self) -> None:
        self.reports: list[tuple[str, int | None, str | None]] = []

    def order(self, targets: Sequence[Target], request: ClientRequest) -> Sequence[Target]:
        return targets[::-1]

    def report(self, target: Target, outcome: Call) -> None:
        self.reports.append((target.provider.name, outcome.status, outcome.error))


class Replayer:
    """Answers requests without a network, and keeps them."""

    def __init__(self, *statuses: int) -> None:
        self.requests: list[UpstreamRequest] = []
        self._statuses = list(statuses)

    async def open(self, request: UpstreamRequest) -> Answer:
        self.requests.append(request)
        return Answer(status=self._statuses.pop(0) if self._statuses else 200, headers=Headers(), body=b"{}")


async def answered(open_: OpenUpstream, providers: Sequence[Provider], strategy: Strategy | None = None) -> Exchange:
    route = Route(name="m", targets=tuple(Target(provider=each, model=f"at-{each.name}") for each in providers))
    if strategy is not None:
        route = Route(name=route.name, targets=route.targets, strategy=strategy)
    pipeline = pipeline_over(Router(providers, [route]), open_)
    exchange = new_exchange(body={"model": "m", "messages": []})
    exchange.answer = await pipeline.answer(exchange, pipeline.router.locate("POST", "/v1/chat/completions"))
    return exchange


async def test_any_function_may_stand_in_for_the_pool_and_a_provider_chooses_the_path() -> None:
    replayer = Replayer()
    exchange = await answered(replayer.open, [Simple("a")])
    [request] = replayer.requests
    assert request.target == "/deployments/at-a/chat" and isinstance(request.body, Body)
    assert exchange.call is not None and exchange.call.url == "https://api.example.com/deployments/at-a/chat"


async def test_credentials_are_refreshed_before_each_call_of_a_provider_that_needs_it() -> None:
    replayer, provider = Replayer(), Expiring("a")
    assert provider.refreshes and not Simple("b").refreshes
    for number in (1, 2):
        await answered(replayer.open, [provider])
        assert replayer.requests[-1].headers["Authorization"] == f"Bearer token-{number}"


async def test_a_provider_without_credentials_is_passed_over() -> None:
    replayer = Replayer()
    exchange = await answered(replayer.open, [Locked("a"), Simple("b")])
    assert [(call.target.provider.name, call.error) for call in exchange.calls] == [("a", "no_token"), ("b", None)]
    with pytest.raises(ProxyError, match="no token"):
        await answered(replayer.open, [Locked("a")])


async def test_a_strategy_orders_the_targets_and_hears_of_each_call() -> None:
    strategy = LastFirst()
    await answered(Replayer(503, 200).open, [Simple("a"), Simple("b")], strategy)
    assert strategy.reports == [("b", 503, None), ("a", 200, None)]


class Waiting:
    """What an answer passes on its way, and what never lets it go: `Affinity` over a slow store, a provider's hook."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def maker(self, exchange: Exchange) -> None:
        return None

    async def learn(self, exchange: Exchange, answer: Answer) -> None:
        await self(answer)

    async def __call__(self, answer: Answer) -> Answer:
        self.begun.set()
        await asyncio.Event().wait()
        return answer


class Adapting(Simple):
    def __init__(self, waiting: Waiting) -> None:
        super().__init__("adapting")
        self._waiting = waiting

    def prepare(self, request: ClientRequest, target: Target) -> UpstreamRequest:
        prepared = super().prepare(request, target)
        prepared.adapt = self._waiting
        return prepared


@pytest.mark.parametrize("where", ["store", "provider"])
async def test_a_client_that_leaves_while_its_answer_is_waited_for_elsewhere_leaves_no_stream_open(where: str) -> None:
    stream, waiting = Pieces(b"data: 1\n\n", b"data: 2\n\n"), Waiting()

    async def open_(request: UpstreamRequest) -> Answer:
        return Answer(status=200, headers=Headers({"Content-Type": "text/event-stream"}), stream=stream)

    provider = Adapting(waiting) if where == "provider" else Simple("simple")
    router = Router([provider], [Route(name="m", targets=(Target(provider=provider),))])
    affinity = cast(Affinity, waiting) if where == "store" else None
    pipeline = pipeline_over(router, open_, affinity=affinity)
    exchange = new_exchange("/v1/chat/completions", body={"model": "m", "messages": [], "stream": True})
    asking = asyncio.get_running_loop().create_task(pipeline.answer(exchange, router.locate("POST", exchange.path)))
    async with asyncio.timeout(PATIENCE_S):
        await waiting.begun.wait()
    assert stream.closed == 0
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert stream.closed == 1
