"""One call with several readers: who gets what, who goes on when others leave, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.caching.single_flight import BEHIND_BYTES, SharedCall
from llmproxy.errors import BrokenStream, ProxyError, UpstreamError
from llmproxy.exchange import Exchange, MemoryBudget
from tests.support.exchanges import ended


class Source:
    """A ByteStream that gives what the test says, when it says it; an error among it is raised."""

    def __init__(self, *parts: bytes | Exception) -> None:
        self.closed = False
        self.reads = 0
        self._parts: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        self.say(*parts)

    def say(self, *parts: bytes | Exception) -> None:
        for each in parts:
            self._parts.put_nowait(each)

    async def read(self) -> bytes:
        assert not self.closed, "read after it was closed"
        self.reads += 1
        part = await self._parts.get()
        if isinstance(part, Exception):
            raise part
        return part

    def close(self) -> None:
        self.closed = True


class Calling:
    """A shared call and its task, as the cache makes them. `gate` is what the call waits for before it answers."""

    def __init__(self, says: Answer | Exception, *, max_bytes: int = 1000, held_bytes: int = 1 << 30) -> None:
        self.budget = MemoryBudget(held_bytes)
        self.gate = asyncio.Event()
        self.forgotten = 0
        self.cancelled = False
        self.exchanges: list[Exchange] = []
        self.shared = SharedCall(ended(budget=self.budget), max_bytes, self._forget)
        self.call = asyncio.get_running_loop().create_task(self._make(says))

    def _forget(self) -> None:
        self.forgotten += 1

    async def _make(self, says: Answer | Exception) -> Answer:
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if isinstance(says, Exception):
            raise says
        self.shared.exchange.hold(len(says.body))
        return says

    async def ask(self) -> Answer | None:
        """Ask as one client, which may be one of several."""
        exchange = ended(budget=self.budget)
        self.exchanges.append(exchange)
        return await self.shared.join(self.call, exchange)

    def check_empty(self) -> None:
        """Nobody is there any more, so nothing is held once their exchanges are over."""
        for each in self.exchanges:
            each.release_all()
        assert self.budget.used_bytes == 0


def streamed(source: Source, body: bytes = b"") -> Answer:
    return Answer(status=200, headers=Headers({"Content-Type": "text/event-stream"}), body=body, stream=source)


async def rest(answer: Answer | None) -> bytes:
    """Return all that a client gets, with its stream closed after it as the server does."""
    assert answer is not None
    got = answer.body
    if answer.stream is not None:
        try:
            while data := await answer.stream.read():
                got += data
        finally:
            answer.close()
    return got


async def started(*works: Awaitable[object]) -> list[asyncio.Future[object]]:
    """Tasks that have come as far as they can by themselves."""
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Future[object]] = [loop.create_task(_awaited(work)) for work in works]
    await settled()
    return tasks


async def _awaited(work: Awaitable[object]) -> object:
    return await work


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_plain_answer_goes_to_all_and_is_whole() -> None:
    calling = Calling(Answer(status=200, headers=Headers({"x": "1"}), body=b"{}"))
    asking = await started(*(calling.ask() for _ in range(3)))
    calling.gate.set()
    answers = [answer for answer in await asyncio.gather(*asking) if isinstance(answer, Answer)]
    assert [(each.body, each.stream) for each in answers] == [(b"{}", None)] * 3
    answers[0].headers["x"] = "2"
    assert answers[1].headers["x"] == "1", "each may change its own headers"
    assert calling.shared.whole and calling.shared.storable and calling.forgotten
    calling.check_empty()


async def test_all_get_every_byte_from_one_read_of_each() -> None:
    source = Source()
    calling = Calling(streamed(source, b"0"))
    asking = await started(*(read_all(calling) for _ in range(3)))
    calling.gate.set()
    for part in (b"1", b"2", b""):
        source.say(part)
        await settled()
    assert await asyncio.gather(*asking) == [b"012"] * 3
    assert source.reads == 3 and source.closed and calling.shared.whole
    calling.check_empty()


async def read_all(calling: Calling) -> bytes:
    return await rest(await calling.ask())


async def test_who_joins_in_the_middle_gets_it_from_the_start() -> None:
    source = Source(b"1")
    calling = Calling(streamed(source, b"0"))
    calling.gate.set()
    first = await calling.ask()
    assert first and first.stream and await first.stream.read() == b"1"
    second = await calling.ask()
    assert second and second.body == b"01"
    source.say(b"2", b"")
    assert (await rest(second), await rest(first)) == (b"012", b"02")
    assert calling.shared.whole
    calling.check_empty()


async def test_who_joins_when_all_came_and_one_still_reads_gets_it_whole() -> None:
    calling = Calling(streamed(Source(b"1", b""), b"0"))
    calling.gate.set()
    slow, quick = await calling.ask(), await calling.ask()
    assert await rest(quick) == b"01" and not calling.forgotten
    late = await calling.ask()
    assert late and (late.body, late.stream) == (b"01", None)
    assert await rest(slow) == b"01" and calling.forgotten
    calling.check_empty()


async def test_when_the_one_that_reads_leaves_another_reads_on() -> None:
    source = Source()
    calling = Calling(streamed(source))
    calling.gate.set()
    leader, follower = await started(read_all(calling), read_all(calling))
    leader.cancel()
    await settled()
    source.say(b"1", b"2", b"")
    assert await follower == b"12" and leader.cancelled() and calling.shared.whole
    calling.check_empty()


async def test_when_the_first_leaves_before_there_is_an_answer_the_call_lives_on() -> None:
    calling = Calling(streamed(Source(b"1", b"")))
    leader, follower = await started(read_all(calling), read_all(calling))
    leader.cancel()
    await settled()
    calling.gate.set()
    assert await follower == b"1" and not calling.cancelled
    calling.check_empty()


async def test_when_all_leave_before_there_is_an_answer_the_call_ends() -> None:
    calling = Calling(streamed(Source()))
    asking = await started(calling.ask(), calling.ask())
    for each in asking:
        each.cancel()
    await settled()
    assert calling.cancelled and calling.forgotten
    calling.check_empty()


async def test_when_all_leave_in_the_middle_the_source_is_closed_at_once() -> None:
    source = Source(b"1")
    calling = Calling(streamed(source))
    calling.gate.set()
    asking = await started(read_all(calling), read_all(calling))
    for each in asking:
        each.cancel()
    await settled()
    assert source.closed and calling.forgotten and not calling.shared.whole
    calling.check_empty()


async def test_an_answer_that_comes_when_its_only_client_leaves_is_closed() -> None:
    source = Source()
    calling = Calling(streamed(source, b"0"))
    (asking,) = await started(calling.ask())
    calling.gate.set()
    await asyncio.wait([calling.call])
    asking.cancel()
    await settled()
    if not asking.cancelled():
        answer = asking.result()
        assert isinstance(answer, Answer)
        answer.close()
    assert source.closed
    calling.check_empty()


@pytest.mark.parametrize("count", [1, 2, 7])
async def test_a_failure_is_for_one_and_the_others_are_reported_to_ask_again(count: int) -> None:
    calling = Calling(ProxyError("no", status=502))
    asking = await started(*(calling.ask() for _ in range(count)))
    calling.gate.set()
    got = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(each) for each in got] == [ProxyError] + [type(None)] * (count - 1)
    calling.check_empty()


async def test_that_the_provider_took_too_long_is_reported_to_all_who_waited() -> None:
    calling = Calling(UpstreamError("it did not answer", status=504, code="timeout"))
    asking = await started(*(calling.ask() for _ in range(3)))
    calling.gate.set()
    got = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(each) for each in got] == [UpstreamError] * 3
    calling.check_empty()


async def test_nobody_can_join_a_failed_call_once_one_knows_of_it() -> None:
    for says in (ProxyError("no", status=502), Answer(status=429, headers=Headers(), body=b"{}")):
        calling = Calling(says)
        known: list[int] = []

        async def ask(calling: Calling = calling, known: list[int] = known) -> None:
            with contextlib.suppress(ProxyError):
                await calling.ask()
            known.append(calling.forgotten)

        asking = await started(*(ask() for _ in range(4)))
        calling.gate.set()
        await asyncio.gather(*asking)
        assert all(known), "one would join again what it knows to have failed"
        calling.check_empty()


async def test_an_error_answer_goes_to_one_with_its_stream() -> None:
    source = Source(b"1", b"")
    calling = Calling(Answer(status=500, headers=Headers(), body=b"0", stream=source))
    asking = await started(calling.ask(), calling.ask())
    calling.gate.set()
    first, second = await asyncio.gather(*asking)
    assert isinstance(first, Answer) and first.stream is source and second is None
    assert await rest(first) == b"01"
    calling.check_empty()


async def test_an_error_answer_for_which_there_is_no_room_is_closed() -> None:
    source = Source()
    calling = Calling(Answer(status=500, headers=Headers(), body=b"0" * 10, stream=source), held_bytes=15)
    calling.gate.set()
    with pytest.raises(ProxyError):
        await calling.ask()
    assert source.closed
    calling.check_empty()


async def test_a_break_in_the_middle_is_reported_to_every_reader_and_nothing_is_whole() -> None:
    calling = Calling(streamed(Source(b"1", BrokenStream("cut"))))
    calling.gate.set()
    asking = await started(read_all(calling), read_all(calling))
    got = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(each) for each in got] == [BrokenStream] * 2 and not calling.shared.whole
    assert calling.forgotten
    calling.check_empty()


async def test_what_nobody_foresaw_goes_to_one_reader_and_breaks_the_others_off() -> None:
    source = Source(b"1", ZeroDivisionError("a mistake"), b"")  # read again, it would seem to end well
    calling = Calling(streamed(source))
    calling.gate.set()
    asking = await started(read_all(calling), read_all(calling))
    got = await asyncio.gather(*asking, return_exceptions=True)
    assert {type(each) for each in got} == {ZeroDivisionError, BrokenStream} and not calling.shared.whole
    assert calling.forgotten
    calling.check_empty()


async def test_too_long_an_answer_is_passed_on_whole_and_not_kept() -> None:
    calling = Calling(streamed(Source(*[b"x" * 300] * 10, b"")))
    calling.gate.set()
    first, second = await calling.ask(), await calling.ask()
    asking = await started(rest(first), rest(second))
    assert [len(each) for each in await asyncio.gather(*asking) if isinstance(each, bytes)] == [3000] * 2
    assert not calling.shared.whole and calling.forgotten and not calling.shared.storable
    calling.check_empty()


async def test_who_still_asks_loses_nothing_of_too_long_an_answer() -> None:
    """What is here already is read without a pause, before others that waited for the call are told of it."""
    calling = Calling(streamed(Source(*[b"%d" % number * 300 for number in range(10)], b"")))
    asking = await started(*(read_all(calling) for _ in range(3)))
    calling.gate.set()
    expected = b"".join(b"%d" % number * 300 for number in range(10))
    assert await asyncio.gather(*asking) == [expected] * 3
    calling.check_empty()


async def test_without_room_to_hold_it_an_answer_is_passed_on_and_not_kept() -> None:
    source = Source(*[b"x" * 300] * 5, b"")
    calling = Calling(streamed(source), max_bytes=10_000, held_bytes=1000)
    calling.gate.set()
    assert len(await rest(await calling.ask())) == 1500
    assert not calling.shared.whole and calling.forgotten
    calling.check_empty()


async def test_a_reader_that_does_not_read_costs_a_bounded_part_and_only_itself() -> None:
    part = b"x" * 65536
    source = Source()
    calling = Calling(streamed(source))
    calling.gate.set()
    stuck, quick, slow = [await calling.ask() for _ in range(3)]
    assert quick and quick.stream and slow and slow.stream and stuck and stuck.stream
    for number in range(64):
        source.say(part)
        assert await quick.stream.read() == part
        if number % 8 == 7:
            assert await slow.stream.read() == part * 8, "one that is lost must not cost others what they have not read"
        assert sum(map(len, calling.shared.parts)) <= BEHIND_BYTES + len(part)
    with pytest.raises(BrokenStream):
        await stuck.stream.read()
    source.say(b"")
    assert (await rest(quick), await rest(slow)) == (b"", b"")
    stuck.close()
    assert source.closed
    calling.check_empty()


async def test_closing_twice_is_leaving_once() -> None:
    source = Source()
    calling = Calling(streamed(source))
    calling.gate.set()
    first, second = await calling.ask(), await calling.ask()
    assert first and second
    first.close()
    first.close()
    assert not source.closed
    second.close()
    assert source.closed
    calling.check_empty()


@pytest.mark.parametrize("seed", range(100))
async def test_whoever_leaves_whenever_the_others_get_all_and_nothing_is_left(seed: int) -> None:
    """Random clients come, read slowly or leave, at any point of a call that is long, short or broken."""
    dice = random.Random(seed)
    parts = [bytes([65 + number]) * dice.choice([1, 50, 400]) for number in range(dice.randrange(8))]
    fault = dice.random() < 0.2
    source = Source()
    calling = Calling(streamed(source, b"0"), max_bytes=dice.choice([0, 500, 5000]))
    expected = b"0" + b"".join(parts)

    async def client() -> None:
        if (got := await rest(await slowly(calling, dice))) != expected:
            raise AssertionError(f"{len(got)} bytes instead of {len(expected)}")

    loop = asyncio.get_running_loop()
    clients = [loop.create_task(client()) for _ in range(dice.randrange(1, 6))]
    await asyncio.sleep(0)  # all of them ask
    steps: list[Callable[[], None]] = [calling.gate.set]
    steps += [lambda each=each: source.say(each) for each in parts]  # type: ignore[misc]  # a default is its value
    steps.append(lambda: source.say(BrokenStream("cut") if fault else b""))
    for step in steps:
        for _ in range(dice.randrange(4)):
            await asyncio.sleep(0)
        if dice.random() < 0.3:
            dice.choice(clients).cancel()
        step()
    may_be = (type(None), asyncio.CancelledError, *([BrokenStream] if fault else []))
    for result in await asyncio.gather(*clients, return_exceptions=True):
        assert isinstance(result, may_be), result
    await settled()
    assert calling.call.done() and (source.closed or calling.call.cancelled()) and calling.forgotten
    calling.check_empty()


async def slowly(calling: Calling, dice: random.Random) -> Answer:
    """Ask, and come back to the answer after a while, as a connection that is written to does."""
    answer = await calling.ask()
    assert answer is not None
    try:
        for _ in range(dice.randrange(3)):
            await asyncio.sleep(0)
    except asyncio.CancelledError:
        answer.close()
        raise
    return answer
