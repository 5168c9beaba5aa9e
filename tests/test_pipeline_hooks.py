"""What middlewares may do before and around the call: answer, refuse, send it elsewhere, change it, multiply it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.body import Body
from llmproxy.errors import BadRequest, ComponentFailed, ProxyError, UpstreamError
from llmproxy.exchange import Exchange
from llmproxy.middleware.base import Middleware, Proceed
from llmproxy.middleware.hooks import Hooks
from llmproxy.route import Route
from llmproxy.routing.router import Router
from llmproxy.target import Target
from tests.support.exchanges import new_exchange
from tests.support.pipelines import pipeline_over
from tests.support.pooling import pool
from tests.support.proxy import CHAT, Scripted

RAW = b'{"model":"blue",  "temperature": 1.0, "messages": [ ]}'


class Doing(Middleware):
    """Does before the call what a test says."""

    def __init__(self, do: Callable[[Exchange], Answer | None]) -> None:
        super().__init__(self.Config())
        self._do = do

    async def on_request(self, exchange: Exchange) -> Answer | None:
        return self._do(exchange)


class Around(Middleware):
    """Notes what it sees around the call, or answers in its place."""

    def __init__(self, name: str, seen: list[str], instead: Answer | None = None, times: int = 1) -> None:
        super().__init__(self.Config())
        self.name = name
        self._seen = seen
        self._instead = instead
        self._times = times

    async def around(self, exchange: Exchange, proceed: Proceed) -> Answer:
        if self._instead is not None:
            return self._instead
        for _ in range(self._times):
            self._seen.append(f"{self.name} before")
            answer = await proceed()
            self._seen.append(f"{self.name} after {answer.status}")
        return answer


class Place:
    """Providers `blue` and `red`, each behind the model of its name, and a pipeline with these middlewares."""

    def __init__(self, *middlewares: Middleware, blue: Answer | Exception | None = None) -> None:
        self.blue = Scripted("blue", blue or Answer(status=200, headers=Headers(), body=b"blue"))
        self.red = Scripted("red", Answer(status=200, headers=Headers(), body=b"red"))
        self._middlewares = middlewares

    async def answer(self, exchange: Exchange) -> Answer:
        targets = {each.name: Target(provider=each) for each in (self.blue, self.red)}
        routes = [Route(name=name, targets=(target,)) for name, target in targets.items()]
        routes.append(Route(name="both", targets=tuple(targets.values())))
        router = Router([self.blue, self.red], routes)
        hooks = Hooks([(str(number), each) for number, each in enumerate(self._middlewares)])
        async with pool() as made:
            pipeline = pipeline_over(router, made.open, hooks)
            return await pipeline.answer(exchange, router.locate(exchange.method, exchange.full_path))

    @property
    def asked(self) -> tuple[list[str | None], list[str | None]]:
        """Return the names under which blue and red were asked."""
        return self.blue.asked, self.red.asked


async def test_a_middleware_that_answers_spares_the_call() -> None:
    given = Answer(status=299, headers=Headers())
    place = Place(Doing(lambda exchange: given), Doing(lambda exchange: pytest.fail("called")))
    exchange = new_exchange(CHAT, body=RAW)

    assert await place.answer(exchange) is given

    assert place.asked == ([], [])
    assert exchange.calls == [] and exchange.route is not None


@pytest.mark.parametrize("error", [BadRequest("no"), ProxyError("later", status=429), RuntimeError("a mistake")])
async def test_a_middleware_that_raises_refuses_the_request(error: Exception) -> None:
    def refuse(exchange: Exchange) -> Answer | None:
        raise error

    place = Place(Doing(refuse))

    with pytest.raises(type(error) if isinstance(error, ProxyError) else ComponentFailed, match=r"no|later|on_request"):
        await place.answer(new_exchange(CHAT, body=RAW))

    assert place.asked == ([], [])


async def test_another_model_routes_again_and_stands_in_the_body() -> None:
    def repaint(exchange: Exchange) -> Answer | None:
        exchange.model = "red"
        return None

    place = Place(Doing(repaint))
    exchange = new_exchange(CHAT, body=RAW)

    assert (await place.answer(exchange)).body == b"red"

    assert place.asked == ([], ["red"])
    assert exchange.held.raw == RAW.replace(b"blue", b"red")
    assert exchange.route is not None and exchange.route.name == "red"
    assert [attempt.model for attempt in exchange.calls] == ["red"]


async def test_another_model_in_the_body_routes_again_too() -> None:
    def repaint(exchange: Exchange) -> Answer | None:
        exchange.held.replace("model", b'"red"')
        return None

    place = Place(Doing(repaint))
    exchange = new_exchange(CHAT, body=RAW)

    assert (await place.answer(exchange)).body == b"red"

    assert exchange.model == "red"
    assert exchange.held.raw == RAW.replace(b"blue", b"red")


async def test_a_whole_new_body_routes_again_too() -> None:
    def repaint(exchange: Exchange) -> Answer | None:
        exchange.body = Body(b'{"model":"red"}')
        return None

    place = Place(Doing(repaint))

    assert (await place.answer(new_exchange(CHAT, body=RAW))).body == b"red"


async def test_what_the_model_is_set_to_wins_over_what_the_body_says() -> None:
    def repaint(exchange: Exchange) -> Answer | None:
        exchange.held.replace("temperature", b"0")
        exchange.model = "red"
        return None

    place = Place(Doing(repaint))
    exchange = new_exchange(CHAT, body=RAW)

    assert (await place.answer(exchange)).body == b"red"

    assert exchange.held.raw == RAW.replace(b"blue", b"red").replace(b"1.0", b"0")


async def test_other_members_may_change_without_routing_again() -> None:
    def cool(exchange: Exchange) -> Answer | None:
        exchange.held.replace("temperature", b"0")
        exchange.held.replace("user", b'"me"')
        exchange.held.replace("stream", b"true")
        exchange.held.remove("messages")
        return None

    place = Place(Doing(cool))
    exchange = new_exchange(CHAT, body=RAW)

    assert (await place.answer(exchange)).body == b"blue"

    assert exchange.held.value("temperature") == 0 and exchange.held.value("user") == "me"
    assert exchange.held.raw.startswith(b'{"model":"blue",  "temperature": 0')
    assert "messages" not in exchange.held.members
    assert exchange.stream


async def test_a_model_that_nobody_knows_is_refused_although_a_middleware_named_it() -> None:
    def repaint(exchange: Exchange) -> Answer | None:
        exchange.model = "green"
        return None

    place = Place(Doing(repaint))

    with pytest.raises(BadRequest, match="'green'"):
        await place.answer(new_exchange(CHAT, body=RAW))

    assert place.asked == ([], [])


async def test_an_alias_that_only_a_middleware_knows_is_answered() -> None:
    def translate(exchange: Exchange) -> Answer | None:
        if exchange.model == "my favourite":
            exchange.model = "red"
        return None

    place = Place(Doing(translate))

    assert (await place.answer(new_exchange(CHAT, body=RAW.replace(b"blue", b"my favourite")))).body == b"red"

    with pytest.raises(BadRequest, match="'nobody'"):
        await place.answer(new_exchange(CHAT, body=RAW.replace(b"blue", b"nobody")))


async def test_headers_that_a_middleware_sets_decide_about_the_provider() -> None:
    def choose(exchange: Exchange) -> Answer | None:
        exchange.headers["x-llmproxy-provider"] = "red"
        exchange.model = None
        return None

    assert (await Place(Doing(choose)).answer(new_exchange(CHAT, body=RAW))).body == b"red"


async def test_the_first_of_the_list_is_outermost_around_the_call() -> None:
    seen: list[str] = []

    await Place(Around("a", seen), Around("b", seen)).answer(new_exchange(CHAT, body=RAW))

    assert seen == ["a before", "b before", "b after 200", "a after 200"]


async def test_around_sees_the_outcome_of_all_targets_at_once() -> None:
    seen: list[str] = []
    place = Place(Around("a", seen), blue=UpstreamError("gone"))

    answer = await place.answer(new_exchange(CHAT, body=RAW.replace(b"blue", b"both")))

    assert answer.body == b"red"
    assert seen == ["a before", "a after 200"]
    assert place.asked == (["both"], ["both"])


async def test_around_may_answer_in_place_of_the_call() -> None:
    seen: list[str] = []
    instead = Answer(status=299, headers=Headers())
    place = Place(Around("a", seen), Around("b", seen, instead))

    assert await place.answer(new_exchange(CHAT, body=RAW)) is instead

    assert seen == ["a before", "a after 299"]
    assert place.asked == ([], [])


async def test_around_may_make_the_call_again() -> None:
    place = Place(Around("a", [], times=2))
    exchange = new_exchange(CHAT, body=RAW)

    await place.answer(exchange)

    assert place.asked == (["blue", "blue"], [])
    assert len(exchange.calls) == 2


async def test_around_goes_the_new_way_when_the_model_was_changed() -> None:
    def repaint(exchange: Exchange) -> Answer | None:
        exchange.model = "red"
        return None

    place = Place(Doing(repaint), Around("a", []))

    assert (await place.answer(new_exchange(CHAT, body=RAW))).body == b"red"
    assert place.asked == ([], ["red"])
