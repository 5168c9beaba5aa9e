"""How many sessions are kept and for how long, what is counted of them, and what happens when their store is gone."""

from __future__ import annotations

import asyncio
import json
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pydantic import ValidationError

from llmproxy.client_request import Client
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage
from llmproxy.errors import BadRequest, ProxyError
from llmproxy.middleware.sessions import Sessions
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.memory import MemorySessions
from llmproxy.stores.sessions import (
    MAX_MODELS,
    RecentSession,
    Session,
    SessionCounts,
    SessionOutcome,
    Visit,
    VisitResult,
)
from llmproxy.wire.compression import compress
from tests.support.session_client import (
    ANN,
    ANSWER,
    ASIDE,
    BOB,
    LAST,
    MORE,
    QUESTION,
    REPLY,
    SessionClient,
    header_of,
    turns,
)
from tests.support.stores import FixedStores


class Faulty(MemorySessions):
    """A store that is gone while `gone` is set, and lets other work go on whenever it is asked."""

    def __init__(self, max_sessions: int = 100, ttl_s: float = 3600.0) -> None:
        super().__init__(max_sessions, ttl_s)
        self.gone = False

    async def _asked(self) -> None:
        await asyncio.sleep(0)
        self.available = not self.gone
        if self.gone:
            raise StoreFault("gone")

    async def touch(self, visit: Visit) -> VisitResult | None:
        await self._asked()
        return await super().touch(visit)

    async def recent(self, tenant: str) -> Sequence[RecentSession]:
        await self._asked()
        return await super().recent(tenant)

    async def session(self, name: str) -> Session | None:
        await self._asked()
        return await super().session(name)

    async def sessions(self, limit: int) -> Sequence[Session]:
        await self._asked()
        return await super().sessions(limit)

    async def counts(self) -> SessionCounts:
        await self._asked()
        return await super().counts()

    def settle(self, outcome: SessionOutcome) -> None:
        if not self.gone:
            super().settle(outcome)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Faulty:
    """Return what the middlewares of the test keep their sessions in."""
    state = Faulty()
    monkeypatch.setattr("tests.support.session_client.Stores", lambda: FixedStores(sessions=state))
    return state


def steps(work: Callable[[], Any]) -> int:
    """Return how many calls of functions `work` makes: its cost, whatever the machine."""
    count = 0

    def counting(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counting)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def run(coroutine: Any) -> Any:
    """Return what a coroutine gives back that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits")


def test_of_10001_sessions_the_longest_unused_goes_and_a_visit_costs_what_it_did() -> None:
    asking = SessionClient()
    names = [run(asking.say(f"question {number}")) for number in range(20)]
    few = steps(lambda: run(asking.say("question 20")))
    again = steps(lambda: run(asking.say("question 20", "answer", "more")))
    names += [run(asking.say(f"question {number}")) for number in range(20, 10_000)]
    assert len(set(names)) == 10_000 == run(asking.figure("active"))
    assert run(asking.say("question 0")) == names[0], "it is used now, and question 1 the longest unused"

    assert steps(lambda: run(asking.say("question 10000"))) <= few * 1.2
    assert run(asking.figure("active")) == 10_000 and run(asking.figure("evicted")) == 1
    assert run(asking.page(names[1])) is None and run(asking.page(names[0])) is not None
    assert run(asking.say("question 1")) != names[1] and run(asking.say("question 9999")) == names[-1]
    assert steps(lambda: run(asking.say("question 9999", "answer", "more"))) <= again * 1.2


def test_memory_stays_flat_beyond_the_limit() -> None:
    asking = SessionClient(max_sessions=200)

    def many(first: int) -> int:
        for number in range(first, first + 1000):
            said = [f"question {number}", "answer", "more", "answer", "still more"]
            for count in (1, 3, 5):
                run(asking.say(*said[:count], answer=f"resp_{number}_{count}"))
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = many(0)
        assert many(1000) < before * 1.05
    finally:
        tracemalloc.stop()


async def test_sessions_end_when_they_are_not_used_for_their_time() -> None:
    asking = SessionClient(session_ttl_seconds=60)
    first = await asking.say(QUESTION)
    asking.now_s += 59
    assert await asking.say(QUESTION, REPLY, MORE) == first, "used again, its time begins anew"
    other = await asking.say(ASIDE)
    asking.now_s += 59
    assert await asking.say(ASIDE) == other
    asking.now_s += 1
    assert await asking.say(QUESTION, REPLY, MORE, ANSWER, LAST) not in (first, other)
    assert await asking.figure("expired") == 1
    assert await asking.say(ASIDE) == other


async def test_an_expired_name_is_begun_again() -> None:
    asking = SessionClient(session_ttl_seconds="1m")
    assert await asking.say(QUESTION, session_id="mine") == "mine"
    asking.now_s += 61
    assert await asking.say(QUESTION, session_id="mine") == "mine"
    assert (await asking.figure("created"), await asking.figure("expired")) == (2, 1)
    assert (await asking.page("mine"))["requests"] == 1


def test_expiry_costs_the_same_however_many_sessions_there_are() -> None:
    costs = []
    for count in (10, 2000):
        asking = SessionClient(session_ttl_seconds=60)
        run(asking.say(QUESTION))
        asking.now_s += 59
        for number in range(count):
            run(asking.say(f"question {number}"))
        asking.now_s += 1
        costs.append(steps(lambda asking=asking: run(asking.say(ASIDE))))  # type: ignore[misc]  # mypy sees no default
        assert run(asking.figure("expired")) == 1
    assert costs[1] <= costs[0] * 1.2


@pytest.mark.parametrize("texts", [(QUESTION,), (QUESTION, REPLY, MORE), ("/new",)])
async def test_parallel_requests_of_a_new_conversation_are_one_session(store: Faulty, texts: tuple[str, ...]) -> None:
    asking = SessionClient()
    sessions = await asyncio.gather(*(asking.say(*texts) for _ in range(50)))
    alone = texts == ("/new",)
    assert len(set(sessions)) == (50 if alone else 1)
    assert await asking.figure("created") == (50 if alone else 1)


async def test_parallel_requests_that_name_an_unknown_answer_are_one_session(store: Faulty) -> None:
    asking = SessionClient()
    body = {"input": MORE, "previous_response_id": "resp_1"}
    assert len(set(await asyncio.gather(*(asking.ask(body, path="/responses") for _ in range(20))))) == 1


async def test_parallel_new_conversations_stay_apart(store: Faulty) -> None:
    asking = SessionClient()
    clients = [ANN, BOB]
    sessions = await asyncio.gather(
        *(asking.say(f"{number} {QUESTION}", client=client) for number in range(20) for client in clients)
    )
    assert len(set(sessions)) == 40


async def test_without_its_store_sessions_are_recognised_by_the_process_alone(store: Faulty) -> None:
    asking = SessionClient()
    kept = await asking.say(QUESTION)
    store.gone = True
    alone = await asking.say(QUESTION)
    assert alone not in (None, kept)
    assert await asking.say(QUESTION, REPLY, MORE) == alone
    assert await asking.say(QUESTION, session_id="mine") == "mine"
    page = await asking.page()
    assert page["available"] is False and {each["id"] for each in page["sessions"]} == {alone, "mine"}
    assert page["figures"]["active"] == 2
    assert (await asking.page(alone))["requests"] == 2 and await asking.page(kept) is None

    store.gone = False
    assert await asking.say(QUESTION, REPLY, MORE) == kept
    page = await asking.page()
    assert page["available"] is True and {each["id"] for each in page["sessions"]} == {kept, alone, "mine"}
    assert (await asking.page(alone))["requests"] == 2


async def test_a_store_that_goes_in_the_middle_of_a_request_is_no_fault(store: Faulty) -> None:
    asking = SessionClient()
    exchange = await asking.begin({"messages": turns(QUESTION)})
    store.gone = True
    asking.sessions.on_end(exchange)
    assert await header_of(asking.sessions, exchange) == exchange.session is not None


async def test_what_each_session_used_is_counted() -> None:
    asking = SessionClient()
    outcomes: list[tuple[int | None, Summary]] = [
        (200, Summary(model="gpt-a", usage=Usage(input=100, output=20, cache_read=60))),
        (200, Summary(model="gpt-b", usage=Usage(input=50, output=None))),
        (429, Summary()),
        (200, Summary(error="overloaded")),
        (None, Summary()),
    ]
    for status, summary in outcomes:
        exchange = await asking.begin({"messages": turns(QUESTION)})
        exchange.status, exchange.summary, exchange.model = status, summary, "gpt-c"
        asking.sessions.on_end(exchange)
    hit = await asking.begin({"messages": turns(QUESTION)})
    hit.summary, hit.cache = Summary(model="gpt-a", usage=Usage(input=7, output=7, cache_read=7)), "hit"
    asking.sessions.on_end(hit)

    shown = await asking.page(hit.session)
    assert shown["tokens"] == {"input": 150, "output": 20, "cache_read": 60}, "what the cache answers costs nothing"
    assert (shown["requests"], shown["errors"], shown["models"]) == (6, 2, ["gpt-a", "gpt-b", "gpt-c"])
    assert shown["client"] == "10.0.0.1 sdk/1" and shown["started"] <= shown["last_seen"]


async def test_an_error_of_ours_is_one_of_the_session() -> None:
    asking = SessionClient()
    exchange = await asking.begin({"messages": turns(QUESTION)})
    exchange.error = ProxyError("no", status=502, code="x")
    asking.sessions.on_end(exchange)
    assert (await asking.page(exchange.session))["errors"] == 1


async def test_odd_names_are_shown_as_text_of_some_length() -> None:
    asking = SessionClient()
    client = Client(address="10.0.0.1", agent="\udcff" * 1000)
    exchange = await asking.begin({"messages": turns(QUESTION)}, client=client)
    exchange.model = "\ud800" * 100_000
    asking.sessions.on_end(exchange)
    shown = await asking.page(exchange.session)
    assert len(json.dumps(shown, ensure_ascii=False).encode()) < 1000


async def test_models_of_a_session_are_bounded() -> None:
    asking = SessionClient()
    for number in range(MAX_MODELS + 5):
        exchange = await asking.begin({"messages": turns(QUESTION)}, session_id="mine")
        exchange.summary = Summary(model=f"gpt-{number}")
        asking.sessions.on_end(exchange)
    assert len((await asking.page("mine"))["models"]) == MAX_MODELS


async def test_figures_say_what_happened() -> None:
    asking = SessionClient(max_sessions=2, session_ttl_seconds=60)
    for texts in ((QUESTION,), (QUESTION,), (QUESTION, REPLY, MORE), (MORE, ANSWER, LAST), (ASIDE,), ("/new",)):
        await asking.say(*texts)
    asking.now_s += 61
    await asking.say(LAST)
    figures = await asking.sessions.stats()
    assert {name: figures[name] for name in figures if name not in ("creation_rate_per_minute", "hit_rate")} == {
        "active": 1,
        "created": 4,
        "hits": 3,
        "misses": 4,
        "fuzzy_matches": 1,
        "resets": 1,
        "expired": 2,
        "evicted": 1,
    }
    assert figures["hit_rate"] == pytest.approx(3 / 7, abs=1e-6)
    assert isinstance(rate := figures["creation_rate_per_minute"], float) and 0 < rate <= 240
    shown = {figure.name: figure.value for figure in await asking.sessions.metrics()}
    assert shown == {f"llmproxy_sessions_{name}": figures[name] for name in figures if name in _COUNTED}


_COUNTED = {"active", "created", "hits", "misses", "fuzzy_matches", "expired", "evicted"}


async def test_figures_before_the_first_request_are_noughts() -> None:
    figures = await SessionClient().sessions.stats()
    assert figures["hit_rate"] is None and figures["active"] == figures["created"] == 0


async def test_the_page_lists_the_last_used_first() -> None:
    asking = SessionClient()
    for name in ("a", "b", "c", "a"):
        await asking.say(QUESTION, session_id=name)
    assert [each["id"] for each in (await asking.page())["sessions"]] == ["a", "c", "b"]
    assert [each["id"] for each in (await asking.page(limit="2"))["sessions"]] == ["a", "c"]


@pytest.mark.parametrize("limit", ["0", "-1", "10001", "", "ten", "1.5", "1" * 5000, "٣", " 1", "1e3"])
async def test_a_limit_that_is_none_is_refused(limit: str) -> None:
    with pytest.raises(BadRequest) as caught:
        await SessionClient().page(limit=limit)
    assert (caught.value.status, caught.value.param) == (400, "limit")


@pytest.mark.parametrize("encoding", ["", "gzip", "deflate"])
async def test_a_body_of_30_megabytes_is_recognised_beside_other_requests(encoding: str) -> None:
    """`nothing_blocks_the_loop` looks for files and the like only; so this counts how often others have their turn."""
    asking = SessionClient()
    raw = json.dumps({"messages": turns("word " * 6_000_000, REPLY, MORE)}).encode()
    body = compress(raw, encoding) if encoding else raw
    turns_taken = 0

    async def others() -> None:
        nonlocal turns_taken
        while True:
            turns_taken += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        working = group.create_task(others())
        first = await asking.ask(body, encoding=encoding)
        working.cancel()
    assert first is not None and turns_taken > 10
    assert await asking.ask(body, encoding=encoding) == first


@pytest.mark.parametrize("encoding", ["gzip", "br"])
async def test_a_body_that_cannot_be_decoded_is_no_conversation(encoding: str) -> None:
    assert await SessionClient().ask(b"no such thing", encoding=encoding) is None


@pytest.mark.parametrize(
    "raw", [b"[" * 100_000, b'{"messages":' * 50_000, b'{"messages": [{"role": "user", "content":']
)
async def test_any_bytes_are_no_exception(raw: bytes) -> None:
    assert await SessionClient().ask(raw) is None


@pytest.mark.parametrize(
    "config",
    [
        {"max_sessions": 0},
        {"session_ttl_seconds": 0},
        {"similarity_threshold": 1.1},
        {"similarity_threshold": -0.1},
        {"max_messages_for_new_session": -1},
        {"header": "x"},
        {"headers": "x"},
    ],
)
def test_settings_that_mean_nothing_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Sessions.Config.model_validate(config)


async def test_equal_first_requests_are_sessions_of_their_own_though_a_store_takes_its_time() -> None:
    asking = SessionClient()
    asking.sessions.use_stores(FixedStores(sessions=Faulty()))
    runs = await asyncio.gather(*(asking.begin({"messages": turns(QUESTION)}) for _ in range(2)))
    for each in runs:
        asking.sessions.on_end(each)
    sessions = {each.session for each in runs}
    assert len(sessions) == 2
    assert {await asking.say(QUESTION, answer, MORE) for answer in (REPLY, ANSWER)} == sessions


async def test_a_client_that_leaves_during_the_look_up_makes_nobody_a_twin() -> None:
    asking = SessionClient()
    asking.sessions.use_stores(FixedStores(sessions=Faulty()))
    leaving = asyncio.get_running_loop().create_task(asking.begin({"messages": turns(QUESTION)}))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    one = await asking.say(QUESTION)
    assert await asking.say(QUESTION) == one, "a retry"
