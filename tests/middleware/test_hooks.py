"""Which hooks are called, in which order, and what happens when they fail."""

from __future__ import annotations

import logging

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.errors import ComponentFailed, ProxyError
from llmproxy.exchange import Exchange
from llmproxy.middleware.base import Middleware, Proceed
from llmproxy.middleware.hooks import Hooks
from tests.middleware.test_base import exchange

calls: list[str] = []


@pytest.fixture(autouse=True)
def no_calls() -> None:
    calls.clear()


class Full(Middleware):
    """Overrides everything and tells when it is called; `fails` names the hook that raises."""

    def __init__(self, name: str, fails: str = "", answers: bool = False) -> None:
        super().__init__(self.Config())
        self.name = name
        self._fails = fails
        self._answers = answers

    def tell(self, hook: str) -> None:
        calls.append(f"{self.name}.{hook}")
        if hook == self._fails:
            raise RuntimeError(f"{self.name} fails")

    async def on_request(self, exchange: Exchange) -> Answer | None:
        self.tell("on_request")
        return Answer(status=299, headers=Headers({"By": self.name})) if self._answers else None

    async def around(self, exchange: Exchange, proceed: Proceed) -> Answer:
        self.tell("around")
        answer = await proceed()
        self.tell("back")
        return answer

    async def on_response(self, exchange: Exchange, answer: Answer) -> None:
        self.tell("on_response")

    def on_chunk(self, exchange: Exchange, data: bytes) -> None:
        self.tell("on_chunk")

    def on_end(self, exchange: Exchange) -> None:
        self.tell("on_end")


class OnlyEnd(Middleware):
    """Overrides one hook."""

    def on_end(self, exchange: Exchange) -> None:
        calls.append("only.on_end")


class Heir(OnlyEnd):
    """Overrides nothing itself."""


def hooks(*middlewares: Full) -> Hooks:
    return Hooks([(each.name, each) for each in middlewares])


async def proceed(_: Exchange) -> Answer:
    calls.append("call")
    return Answer(status=200, headers=Headers())


def test_only_overridden_hooks_are_collected() -> None:
    nothing, one = Middleware(Middleware.Config()), OnlyEnd(OnlyEnd.Config())

    collected = Hooks([("nothing", nothing), ("one", one)])

    assert not (collected.on_request or collected.around or collected.on_response or collected.on_chunk)
    assert [name for name, _ in collected.on_end] == ["one"]


def test_a_hook_that_is_inherited_counts_as_overridden() -> None:
    collected = Hooks([("heir", Heir(Heir.Config()))])

    collected.end(exchange())

    assert calls == ["only.on_end"]


def test_no_middlewares_have_no_hooks() -> None:
    collected = Hooks([])

    assert not (
        collected.on_request or collected.around or collected.on_response or collected.on_chunk or collected.on_end
    )


async def test_requests_go_down_the_list() -> None:
    assert await hooks(Full("a"), Full("b"), Full("c")).request(exchange()) is None

    assert calls == ["a.on_request", "b.on_request", "c.on_request"]


async def test_the_first_answer_to_a_request_ends_the_way_down() -> None:
    answer = await hooks(Full("a"), Full("b", answers=True), Full("c", answers=True)).request(exchange())

    assert answer is not None and answer.headers["By"] == "b"
    assert calls == ["a.on_request", "b.on_request"]


async def test_the_first_of_the_list_is_outermost_around_the_call() -> None:
    answer = await hooks(Full("a"), Full("b")).call(exchange(), proceed)

    assert answer.status == 200
    assert calls == ["a.around", "b.around", "call", "b.back", "a.back"]


async def test_around_may_call_more_than_once_or_not_at_all() -> None:
    class Twice(Full):
        async def around(self, exchange: Exchange, proceed: Proceed) -> Answer:
            await proceed()
            return await proceed()

    class Never(Full):
        async def around(self, exchange: Exchange, proceed: Proceed) -> Answer:
            return Answer(status=299, headers=Headers())

    await hooks(Twice("a"), Full("b")).call(exchange(), proceed)
    assert calls == ["b.around", "call", "b.back"] * 2

    assert (await hooks(Full("a"), Never("b")).call(exchange(), proceed)).status == 299
    assert calls[6:] == ["a.around", "a.back"]


async def test_answers_come_back_up_the_list() -> None:
    watched, asked = hooks(Full("a"), Full("b")), exchange()

    await watched.response(asked, Answer(status=200, headers=Headers()))
    watched.chunk(asked, b"data")
    watched.end(asked)

    assert calls == ["b.on_response", "a.on_response", "b.on_chunk", "a.on_chunk", "b.on_end", "a.on_end"]


@pytest.mark.parametrize("hook", ["on_request", "around", "on_response"])
async def test_what_decides_fails_the_request(hook: str) -> None:
    failing = hooks(Full("a"), Full("b", fails=hook), Full("c"))

    with pytest.raises(ComponentFailed, match=f"{hook} of middleware 'b'"):
        match hook:
            case "on_request":
                await failing.request(exchange())
            case "around":
                await failing.call(exchange(), proceed)
            case _:
                await failing.response(exchange(), Answer(status=200, headers=Headers()))


async def test_a_refusal_reaches_the_hooks_around_the_call() -> None:
    async def refuse(_: Exchange) -> Answer:
        raise ProxyError("no", status=503)

    with pytest.raises(ProxyError, match="no"):
        await hooks(Full("a")).call(exchange(), refuse)

    assert calls == ["a.around"]


def test_a_failing_on_chunk_is_muted_for_this_exchange_alone_and_logged_by_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watched, first, second = hooks(Full("a"), Full("b", fails="on_chunk")), exchange(), exchange()

    for _ in range(3):
        watched.chunk(first, b"x")
    assert calls == ["b.on_chunk", "a.on_chunk", "a.on_chunk", "a.on_chunk"]
    assert first.muted == {"b"}

    calls.clear()
    watched.chunk(second, b"x")
    assert calls == ["b.on_chunk", "a.on_chunk"]

    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert "middleware 'b'" in caplog.text and "RuntimeError: b fails" in caplog.text


def test_everybody_is_told_of_the_end_whatever_the_others_do(caplog: pytest.LogCaptureFixture) -> None:
    asked = exchange()
    watched = hooks(Full("a"), Full("b", fails="on_end"), Full("c", fails="on_end"))

    watched.end(asked)

    assert calls == ["c.on_end", "b.on_end", "a.on_end"]
    assert "middleware 'b'" in caplog.text and "middleware 'c'" in caplog.text


def test_a_muted_middleware_is_told_of_the_end() -> None:
    watched, asked = hooks(Full("a", fails="on_chunk")), exchange()
    watched.chunk(asked, b"x")

    watched.end(asked)

    assert calls == ["a.on_chunk", "a.on_end"]
