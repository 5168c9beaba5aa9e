"""What every store of sessions does, whichever it is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from llmproxy.stores.sessions import (
    MAX_KEYS,
    MAX_MODELS,
    RECENT,
    SKETCH_BYTES,
    Session,
    SessionOutcome,
    SessionStore,
    Visit,
    VisitResult,
)
from tests.stores.conftest import Clock, MakeSessions
from tests.support.waiting import PATIENCE_S

START_S = Clock.now_s


def visit(
    session: str | None,
    *keys: str,
    learn: Sequence[str] = (),
    tenant: str = "tenant-one",
    client: str = "key one",
    now_s: float = START_S,
) -> Visit:
    return Visit(tenant=tenant, client=client, keys=keys, learn=learn, session=session, now_s=now_s)


def settled(session: str, **more: object) -> SessionOutcome:
    return SessionOutcome(**{"session": session, "tenant": "tenant-one", **more})  # type: ignore[arg-type]


async def known(state: SessionStore, name: str, requests: int) -> Session:
    """Return the session when it has so many requests: outcomes are settled soon, not at once."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = await state.session(name)
            assert found is not None
            if found.requests >= requests:
                return found


async def active(state: SessionStore) -> int:
    return (await state.counts()).active


async def test_an_unknown_conversation_without_a_name_changes_nothing(make_sessions: MakeSessions) -> None:
    state = await make_sessions()
    assert await state.touch(visit(None, "k1", "k2", learn=["k3"])) is None
    assert await state.touch(visit(None, "k3")) is None
    assert await active(state) == 0


async def test_a_session_begins_once_and_goes_on_by_its_name(make_sessions: MakeSessions) -> None:
    state = await make_sessions()
    assert await state.touch(visit("s")) == VisitResult(session="s", place=None, created=True)
    assert await state.touch(visit("s", client="later", now_s=START_S + 5)) == VisitResult(
        session="s", place=None, created=False
    )
    assert await state.session("s") == Session(
        id="s",
        client="key one",
        started_s=START_S,
        seen_s=START_S + 5,
        requests=0,
        errors=0,
        input_tokens=0,
        output_tokens=0,
        models=(),
    )
    assert await state.session("other") is None


async def test_the_first_key_that_is_known_decides(make_sessions: MakeSessions) -> None:
    state = await make_sessions()
    await state.touch(visit("one", learn=["a", "b"]))
    await state.touch(visit("two", learn=["c"]))
    assert await state.touch(visit("new", "x", "c", "a")) == VisitResult(session="two", place=1, created=False)
    assert await state.touch(visit(None, "b", "c")) == VisitResult(session="one", place=0, created=False)
    assert await state.session("new") is None


async def test_a_visit_teaches_its_keys_whichever_way_the_session_was_found(make_sessions: MakeSessions) -> None:
    state = await make_sessions()
    await state.touch(visit("s", learn=["a"]))
    await state.touch(visit(None, "a", learn=["b", "b", "a"]))
    await state.touch(visit("s", learn=["c"]))
    for key in "abc":
        assert await state.touch(visit(None, key)) == VisitResult(session="s", place=0, created=False)


async def test_a_key_that_another_session_learns_is_that_ones(make_sessions: MakeSessions) -> None:
    state = await make_sessions(2)
    await state.touch(visit("one", learn=["a"]))
    await state.touch(visit("two", learn=["a"], now_s=START_S + 1))
    await state.touch(visit("three", now_s=START_S + 2))
    assert await state.session("one") is None, "it was the longest unused of three"
    found = await state.touch(visit(None, "a", now_s=START_S + 3))
    assert found == VisitResult(session="two", place=0, created=False)


async def test_the_same_key_of_another_tenant_is_another_key(make_sessions: MakeSessions) -> None:
    state = await make_sessions()
    await state.touch(visit("one", learn=["a"]))
    assert await state.touch(visit(None, "a", tenant="tenant-two")) is None
    await state.touch(visit("two", "a", learn=["a"], tenant="tenant-two"))
    assert await state.touch(visit(None, "a")) == VisitResult(session="one", place=0, created=False)
    found = await state.touch(visit(None, "a", tenant="tenant-two"))
    assert found == VisitResult(session="two", place=0, created=False)


async def test_a_name_that_another_tenant_has_is_left_alone(make_sessions: MakeSessions) -> None:
    state = await make_sessions()
    await state.touch(visit("s", learn=["a"]))
    other = visit("s", tenant="0123456789", client="key two")
    assert await state.touch(other) == VisitResult(session="s~01234567", place=None, created=True)
    assert await state.touch(other) == VisitResult(session="s~01234567", place=None, created=False)
    mine = await state.session("s")
    assert mine is not None and mine.client == "key one"


async def test_nobody_can_take_the_name_that_a_visit_would_get(make_sessions: MakeSessions) -> None:
    state = await make_sessions()
    await state.touch(visit("s", tenant="victim's neighbour"))
    await state.touch(visit("s~01234567", tenant="attacker"))
    found = await state.touch(visit("s", tenant="0123456789"))
    assert found == VisitResult(session="s~01234567~01234567", place=None, created=True)


async def test_the_longest_unused_goes_when_there_are_too_many(make_sessions: MakeSessions) -> None:
    state = await make_sessions(3)
    for number, name in enumerate(["a", "b", "c"]):
        await state.touch(visit(name, learn=[f"of {name}"], now_s=START_S + number))
    await state.touch(visit(None, "of a", now_s=START_S + 10))
    await state.touch(visit("d", now_s=START_S + 11))
    assert [each.id for each in await state.sessions(10)] == ["d", "a", "c"]
    assert await state.touch(visit(None, "of b", now_s=START_S + 12)) is None
    figures = await state.counts()
    assert (figures.active, figures.expired, figures.evicted) == (3, 0, 1)


async def test_a_session_that_was_not_used_for_its_time_is_over(make_sessions: MakeSessions, clock: Clock) -> None:
    state = await make_sessions(ttl_s=100.0)
    await state.touch(visit("a", learn=["of a"]))
    await state.touch(visit("b", learn=["of b"], now_s=START_S + 50))
    clock.now_s = START_S + 100
    assert await state.session("a") is None
    assert [each.id for each in await state.sessions(10)] == ["b"]
    assert [each.session for each in await state.recent("tenant-one")] == ["b"]
    assert await active(state) == 1
    assert await state.touch(visit(None, "of a", now_s=clock.now_s)) is None
    assert await state.touch(visit(None, "of b", now_s=clock.now_s)) is not None
    assert (await state.counts()).expired == 1
    again = await state.touch(visit("a", now_s=clock.now_s))
    assert again is not None and again.created


async def test_a_visit_keeps_a_session_and_its_keys_for_the_whole_time_again(
    make_sessions: MakeSessions, clock: Clock
) -> None:
    state = await make_sessions(ttl_s=100.0)
    await state.touch(visit("a", learn=["first"]))
    for number in range(1, 10):
        clock.now_s = START_S + number * 99
        found = await state.touch(visit(None, "first", now_s=clock.now_s))
        assert found is not None and found.session == "a"


async def test_hundreds_that_are_over_at_once_are_all_over(make_sessions: MakeSessions, clock: Clock) -> None:
    state = await make_sessions(1000, 100.0)
    for number in range(300):
        await state.touch(visit(f"s{number}", learn=[f"k{number}"], now_s=START_S + number / 1000))
    clock.now_s = START_S + 1000
    await state.touch(visit("new", now_s=clock.now_s))
    assert await state.touch(visit(None, "k299", now_s=clock.now_s)) is None
    assert [each.id for each in await state.sessions(1000)] == ["new"]
    assert await active(state) == 1
    again = await state.touch(visit("s299", learn=["k299"], now_s=clock.now_s))
    assert again is not None and again.created
    for number in range(20):
        await state.touch(visit(f"t{number}", now_s=clock.now_s))
    figures = await state.counts()
    assert (figures.active, figures.expired, figures.evicted) == (22, 300, 0)


async def test_a_clock_that_is_behind_takes_nothing_back(make_sessions: MakeSessions) -> None:
    state = await make_sessions()
    await state.touch(visit("s", now_s=START_S + 10))
    await state.touch(visit("s", now_s=START_S + 3))
    found = await state.session("s")
    assert found is not None and found.seen_s == START_S + 10


async def test_recent_tells_the_last_sessions_of_a_tenant(make_sessions: MakeSessions) -> None:
    state = await make_sessions()
    for number in range(RECENT + 3):
        await state.touch(visit(f"s{number}", now_s=START_S + number))
    await state.touch(visit("s0", now_s=START_S + 50))
    await state.touch(visit("foreign", tenant="tenant-two", now_s=START_S + 60))
    state.settle(settled("s0", sketch=bytes(range(256))))
    await known(state, "s0", 1)
    recent = await state.recent("tenant-one")
    assert [each.session for each in recent] == ["s0", *(f"s{number}" for number in range(RECENT + 2, 3, -1))]
    assert [each.sketch for each in recent] == [bytes(range(256)), *[b""] * (RECENT - 1)]
    assert await state.recent("nobody") == []


async def test_outcomes_add_up(make_sessions: MakeSessions) -> None:
    state = await make_sessions()
    await state.touch(visit("s"))
    first = {"input_tokens": 10, "output_tokens": 1, "cached_tokens": 7, "cost_usd": 0.25}
    state.settle(settled("s", model="m-1", learn=["later"], **first))
    state.settle(settled("s", model="m-2", input_tokens=20, cached_tokens=15, error=True))
    state.settle(settled("s", model="m-1", output_tokens=5, cost_usd=0.0000028))
    state.settle(settled("s", cost_unknown=True))
    found = await known(state, "s", 4)
    assert (found.errors, found.input_tokens, found.output_tokens, found.cached_tokens) == (1, 30, 6, 22)
    assert found.cost_usd == pytest.approx(0.2500028) and found.cost_unknown == 1
    assert list(found.models) == ["m-1", "m-2"]
    assert found.seen_s == START_S
    assert await state.touch(visit(None, "later")) == VisitResult(session="s", place=0, created=False)


async def test_models_are_listed_once_each_in_the_order_of_their_first_use(make_sessions: MakeSessions) -> None:
    state = await make_sessions()
    await state.touch(visit("s"))
    names = ['ü"%d\\', "a", "aa", "a\nb", *(f"m{number}" for number in range(MAX_MODELS))]
    for name in [*names, *names]:
        state.settle(settled("s", model=name))
    assert list((await known(state, "s", 2 * len(names))).models) == names[:MAX_MODELS]


async def test_the_end_of_a_sketch_is_kept(make_sessions: MakeSessions) -> None:
    state = await make_sessions()
    await state.touch(visit("s"))
    pieces = [bytes([number]) * 3000 for number in range(5)]
    for piece in pieces:
        state.settle(settled("s", sketch=piece))
    await known(state, "s", len(pieces))
    assert (await state.recent("tenant-one"))[0].sketch == b"".join(pieces)[-SKETCH_BYTES:]


async def test_outcomes_of_what_is_over_or_anothers_are_lost(make_sessions: MakeSessions, clock: Clock) -> None:
    state = await make_sessions(ttl_s=100.0)
    await state.touch(visit("s"))
    await state.touch(visit("mark", now_s=START_S + 100))
    state.settle(settled("s", tenant="tenant-two", learn=["x"]))
    state.settle(settled("never was", learn=["y"]))
    clock.now_s = START_S + 100
    state.settle(settled("s", learn=["z"]))
    state.settle(settled("mark"))
    await known(state, "mark", 1)
    for name in ("s", "never was"):
        assert await state.session(name) is None
    for key in "xyz":
        assert await state.touch(visit(None, key, now_s=clock.now_s)) is None


async def test_numbers_beyond_all_counting_hurt_nobody(make_sessions: MakeSessions) -> None:
    state = await make_sessions()
    await state.touch(visit("s"))
    state.settle(settled("s", input_tokens=10**30, cached_tokens=10**30, model="m"))
    state.settle(settled("s", input_tokens=10**30, learn=["a"]))
    found = await known(state, "s", 2)
    assert found.input_tokens >= 1 << 53 and found.cached_tokens >= 1 << 53
    assert await state.touch(visit(None, "a")) is not None


async def test_the_oldest_key_of_a_session_goes_when_there_are_too_many(make_sessions: MakeSessions) -> None:
    state = await make_sessions()
    await state.touch(visit("s", learn=[f"k{number}" for number in range(MAX_KEYS)]))
    await state.touch(visit("s", learn=["k0", "new"]))
    assert await state.touch(visit(None, "k0")) is None
    for key in ("k1", f"k{MAX_KEYS - 1}", "new"):
        assert await state.touch(visit(None, key)) is not None


async def test_sessions_are_told_the_last_used_first_up_to_the_limit(make_sessions: MakeSessions) -> None:
    state = await make_sessions()
    for number in range(5):
        await state.touch(visit(f"s{number}", tenant=f"tenant-{number}", now_s=START_S + number))
    assert [each.id for each in await state.sessions(3)] == ["s4", "s3", "s2"]
    assert len(await state.sessions(100)) == 5


async def test_visits_at_the_same_time_begin_one_session(make_sessions: MakeSessions) -> None:
    state = await make_sessions()
    touched = await asyncio.gather(
        *(state.touch(visit("s", "k", learn=["k", f"own {number}"])) for number in range(40))
    )
    assert {each.session for each in touched if each} == {"s"}
    assert sum(each.created for each in touched if each) == 1
    assert await active(state) == 1


async def test_replicas_agree(make_sessions: MakeSessions, kind: str) -> None:
    if kind == "memory":
        pytest.skip("ends with the process")
    first, second = await make_sessions(), await make_sessions()
    await first.touch(visit("s", learn=["a"]))
    assert await second.touch(visit("other", "a")) == VisitResult(session="s", place=0, created=False)
    second.settle(settled("s", model="m"))
    assert (await known(first, "s", 1)).models == ("m",)


async def test_what_was_settled_before_the_end_is_kept(make_sessions: MakeSessions, kind: str) -> None:
    if kind == "memory":
        pytest.skip("ends with the process")
    state = await make_sessions()
    await state.touch(visit("s"))
    for _ in range(500):
        state.settle(settled("s", input_tokens=1))
    await state.close()
    found = await (await make_sessions()).session("s")
    assert found is not None and (found.requests, found.input_tokens) == (500, 500)
