"""Identical requests at the same time: one call for all, whoever fails, leaves or does not read."""

from __future__ import annotations

import contextlib
import random

import pytest

from llmproxy.providers.anthropic import Anthropic
from tests.support import vendors
from tests.support.cached import ASK, STREAM, Cached, cached
from tests.support.provider import Call, Gate, Reply, Script, Upstream, drop, reset
from tests.support.proxy import CHAT, provider
from tests.support.raw_http import Cut, RawClient
from tests.support.waiting import until

FRAMES = vendors.chat_frames("gpt-x", usage=True)
WHOLE = b"".join(FRAMES)


def gated(*pieces: bytes | Gate) -> Reply:
    """Return a stream with places where it waits."""
    return Reply(headers=vendors.SSE, pieces=pieces, framing="chunked")


def held_stream(here: Cached, upstream: Upstream, gate: Gate, before: int = 2) -> None:
    """Let the coming stream stop after its first frames until the gate is opened."""
    upstream.next(gated(*FRAMES[:before], gate, *FRAMES[before:]))


def test_identical_streams_make_one_call_and_one_entry(here: Cached, upstream: Upstream) -> None:
    gate = Gate()
    held_stream(here, upstream, gate, 0)
    with here.together(*[STREAM] * 5) as clients:
        gate.open()
        answers = [client.read_answer() for client in clients]
    assert [each.body for each in answers] == [WHOLE] * 5
    assert [each.value("x-cache") for each in answers] == ["miss"] + ["hit"] * 4
    assert len({each.value("x-llmproxy-cache-key") for each in answers}) == 1
    here.server.wait_ended(5)
    assert (here.figures()["stored"], here.figures()["shared"]) == (1, 4)
    replay = here.ask(STREAM)
    assert replay.body == WHOLE and replay.value("x-cache") == "hit"
    assert len(upstream.requests) == 1


def test_identical_plain_requests_make_one_call(here: Cached, upstream: Upstream) -> None:
    upstream.hold()
    with here.together(*[ASK] * 4) as clients:
        call = upstream.take()
        call.give(vendors.plain(vendors.chat("gpt-x")))
        call.done()
        bodies = {client.read_answer().body for client in clients}
    assert len(bodies) == 1 and len(upstream.requests) == 1
    here.server.wait_ended(4)


def test_followers_get_bytes_as_they_come_and_those_before_them(here: Cached, upstream: Upstream) -> None:
    gate = Gate()
    held_stream(here, upstream, gate)
    with here.together(STREAM) as [leader]:
        leader.read_head()
        assert leader.read_body_until(FRAMES[1]) == FRAMES[0] + FRAMES[1]
        with here.together(STREAM, STREAM) as followers:
            for each in followers:
                assert each.read_head().value("x-cache") == "hit"
                assert each.read_body_until(FRAMES[1]) == FRAMES[0] + FRAMES[1]
            gate.open()
            rest = [b"".join(each.read_chunks()) for each in (leader, *followers)]
    assert rest == [b"".join(FRAMES[2:])] * 3 and len(upstream.requests) == 1
    here.server.wait_ended(3)


FAILURES: dict[str, Script | Reply] = {
    "closed": drop,
    "reset": reset,
    "500": vendors.failure(500, "Internal Server Error"),
    "429": vendors.failure(429, "Too Many Requests"),
    "400": vendors.failure(400, "Bad Request"),
    "error of 200 KB": Reply(status=503, pieces=[b"x" * 200_000]),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_when_the_leader_fails_one_other_leads(here: Cached, upstream: Upstream, failure: str) -> None:
    gate = Gate()

    async def fail(call: Call) -> None:
        await gate.wait()
        script = FAILURES[failure]
        await (call.give(script) if isinstance(script, Reply) else script(call))

    upstream.next(fail)
    second = Gate()
    upstream.next(gated(second, *FRAMES))
    with here.together(*[STREAM] * 8) as clients:
        gate.open()
        assert clients[0].read_answer().status >= 400
        second.open()
        answers = [client.read_answer() for client in clients[1:]]
    assert [each.body for each in answers] == [WHOLE] * 7
    assert [each.value("x-cache") for each in answers].count("miss") == 1
    assert len(upstream.requests) == 2
    here.server.wait_ended(8)
    assert not here.missed(STREAM)


def test_when_all_calls_fail_everybody_is_told_and_nothing_stays(here: Cached, upstream: Upstream) -> None:
    upstream.default = vendors.failure(500, "Internal Server Error")
    with here.together(*[ASK] * 6) as clients:
        answers = [client.read_answer() for client in clients]
    assert {each.status for each in answers} == {500}
    assert {each.value("x-cache") for each in answers} == {"miss"}
    here.server.wait_ended(6)
    assert (here.figures()["misses"], here.figures()["hits"]) == (6, 0)
    upstream.default = vendors.answer
    assert here.missed() and not here.missed()


@pytest.mark.parametrize("frames", [0, 2])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_when_the_leader_leaves_the_others_get_everything(
    here: Cached, upstream: Upstream, frames: int, how: str
) -> None:
    gate = Gate()
    held_stream(here, upstream, gate, frames)
    with here.together(*[STREAM] * 3) as clients:
        if frames:
            clients[0].read_head()
        getattr(clients[0], how)()
        here.server.wait_ended(1)
        gate.open()
        assert [client.read_answer().body for client in clients[1:]] == [WHOLE] * 2
    here.server.wait_ended(3)
    assert [each.outcome for each in here.server.ended] == ["cancelled", "complete", "complete"]
    assert not here.missed(STREAM) and len(upstream.requests) == 1
    assert here.figures()["stored"] == 1


@pytest.mark.parametrize("frames", [0, 2])
@pytest.mark.parametrize("stream", [True, False])
def test_when_all_leave_the_provider_sees_it_and_nothing_is_stored(
    here: Cached, upstream: Upstream, frames: int, stream: bool
) -> None:
    upstream.hold()
    with here.together(*[STREAM if stream else ASK] * 3) as clients:
        call = upstream.take()
        if frames:
            call.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            call.send(b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in FRAMES[:frames]))
            clients[0].read_head()
        for client in clients:
            client.close()
        call.wait_left()
    here.server.wait_ended(3)
    assert here.figures()["stored"] == 0 and here.missed(STREAM if stream else ASK)


def test_one_that_does_not_read_holds_up_nobody_and_joins_nobody_to_a_second_call(upstream: Upstream) -> None:
    frames = [b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"x" * 60_000)] * 60 + [
        b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}\n\ndata: [DONE]\n\n'
    ]
    gate = Gate()
    upstream.next(gated(frames[0], gate, *frames[1:]))
    with cached(provider(upstream)) as here, here.server.client(receive_buffer=4096) as stuck:
        stuck.post(CHAT, STREAM)
        stuck.read_head()
        with here.together(STREAM) as [quick]:
            gate.open()
            assert quick.read_answer().body == b"".join(frames)
        here.server.wait_ended(1)
        assert here.ask(STREAM).body == b"".join(frames)
        assert len(upstream.requests) == 1
        assert b"".join(stuck.read_chunks()) == b"".join(frames)
        here.server.wait_ended(3)


def test_one_that_does_not_read_a_long_answer_costs_little(upstream: Upstream) -> None:
    frame = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"x" * 60_000)
    gate = Gate()
    upstream.next(gated(frame, gate, *[frame] * 500, b"data: [DONE]\n\n"))
    with (
        cached(provider(upstream), max_entry_size="256KB") as here,
        here.server.client(receive_buffer=4096) as stuck,
    ):
        stuck.post(CHAT, STREAM)
        stuck.read_head()
        with here.together(STREAM) as [quick]:
            gate.open()
            head = quick.read_head()
            size = most = 0
            while chunk := quick.read_chunk():
                size += len(chunk)
                most = max(most, here.server.budget.used_bytes)
        assert head.value("x-cache") == "hit" and size == 501 * len(frame) + 14
        assert most < 2_000_000
        here.server.wait_ended(1)
        with contextlib.suppress(Cut):  # an error event, where one fits
            assert b'"error"' in b"".join(stuck.read_chunks())
    assert here.server.ended[-1].outcome == "broken"


@pytest.mark.parametrize(
    ("one", "other"),
    [(STREAM, ASK), (STREAM, ASK | {"stream": True})],
    ids=["a stream and a plain one", "with and without usage"],
)
def test_who_wants_it_in_another_form_makes_a_call_of_its_own(
    here: Cached, upstream: Upstream, one: object, other: object
) -> None:
    gate = Gate()
    held_stream(here, upstream, gate)
    with here.together(one) as [first]:
        second = here.server.post(other, "Connection: close")
        assert second.status == 200 and second.value("x-cache") == "miss"
        gate.open()
        assert first.read_answer().body == WHOLE
    here.server.wait_ended(2)
    assert len(upstream.requests) == 2


def test_who_understands_other_codings_makes_a_call_of_its_own(here: Cached, upstream: Upstream) -> None:
    upstream.hold()
    with here.together(ASK, headers=("Accept-Encoding: gzip",)) as [packed]:
        call = upstream.take()
        assert here.server.post(ASK, "Connection: close").value("x-cache") == "miss"
        call.give(vendors.plain(vendors.chat("gpt-x")))
        call.done()
        packed.read_answer()
    here.server.wait_ended(2)


@pytest.mark.parametrize("said", ["no-store", "no-cache"])
def test_who_wants_no_cache_is_alone_and_who_wants_no_store_shares(here: Cached, upstream: Upstream, said: str) -> None:
    gate = Gate()
    held_stream(here, upstream, gate, 0)
    with here.together(STREAM, STREAM | {"cache": {said: True}}) as [leader, other]:
        if said == "no-cache":
            assert other.read_answer().value("x-cache") == "bypass"
        gate.open()
        assert leader.read_answer().body == WHOLE
        if said == "no-store":
            assert other.read_answer().body == WHOLE
    here.server.wait_ended(2)
    assert len(upstream.requests) == (2 if said == "no-cache" else 1)
    assert not here.missed(STREAM)


def test_a_leader_that_wants_no_store_does_not_keep_followers_from_it(here: Cached, upstream: Upstream) -> None:
    gate = Gate()
    held_stream(here, upstream, gate, 0)
    with here.together(STREAM | {"cache": {"no-store": True}}, STREAM) as clients:
        gate.open()
        assert [client.read_answer().body for client in clients] == [WHOLE] * 2
    here.server.wait_ended(2)
    assert len(upstream.requests) == 1 and not here.missed(STREAM)


def test_a_break_in_the_middle_is_everybodys_and_nothing_is_stored(here: Cached, upstream: Upstream) -> None:
    gate = Gate()
    upstream.next(gated(*FRAMES[:2], gate, FRAMES[2]).but(end="cut"))
    with here.together(STREAM, STREAM) as clients:
        for each in clients:
            each.read_head()
        gate.open()
        bodies = [b"".join(each.read_chunks()) for each in clients]
    assert bodies[0] == bodies[1] and bodies[0].startswith(b"".join(FRAMES[:3])) and b'"error"' in bodies[0]
    here.server.wait_ended(2)
    assert {each.outcome for each in here.server.ended} == {"broken"} and here.missed(STREAM)


@pytest.mark.parametrize("frames", [0, 2])
def test_when_the_server_stops_everybody_is_told_and_the_call_ends(
    here: Cached, upstream: Upstream, frames: int
) -> None:
    gate = Gate()
    held_stream(here, upstream, gate, frames)
    with here.together(*[STREAM] * 3) as clients:
        if frames:
            clients[0].read_head()
        stopping = here.server.stop(0.01)
        for client in clients[frames and 1 :]:
            answer = client.read_answer()
            assert answer.status == (200 if frames else 503) and b"stopping" in answer.body
        stopping.result()
    here.server.wait_ended(3)
    until(lambda: all(connection.left.is_set() for connection in upstream.connections), "the call to end")


def test_a_translated_stream_is_shared_and_goes_on_without_its_leader(upstream: Upstream) -> None:
    keys = {"name": "claude", "base_url": upstream.url, "api_key": "k", "models": ["gpt-*"], "proxy": None}
    claude = Anthropic(Anthropic.Config.model_validate({"type": "anthropic", **keys}))
    frames = vendors.message_frames("gpt-x", tools=True)
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    value = STREAM | {"tools": tools}
    for before in (3, 5, len(frames) - 1):
        gate = Gate()
        with cached(claude) as here:
            upstream.next(gated(*frames[:before], gate, *frames[before:]))
            with here.together(*[value] * 3) as clients:
                clients[0].read_head()
                clients[0].reset()
                here.server.wait_ended(1)
                gate.open()
                bodies = {client.read_answer().body for client in clients[1:]}
            here.server.wait_ended(3)
            hit = here.ask(value)
            assert hit.value("x-cache") == "hit" and bodies == {hit.body}
            assert hit.body.endswith(b"data: [DONE]\n\n") and hit.body.count(b'"tool_calls"') >= 2
    assert len(upstream.requests) == 3


@pytest.mark.parametrize("seed", range(12))
def test_whoever_leaves_whenever_nothing_is_left_behind(seed: int, upstream: Upstream) -> None:
    """Rounds of clients that ask one of three questions, of which some leave somewhere on the way."""
    dice = random.Random(seed)
    with cached(provider(upstream), max_entry_size=dice.choice(["500B", "8MB"])) as here:
        count = 0
        for _ in range(4):
            gates = [Gate() for _ in range(6)]
            upstream.default = _by(dice, gates)
            values = [{**STREAM, "seed": dice.randrange(3)} for _ in range(6)]
            with here.together(*values) as clients:
                steps = [gate.open for gate in gates] + [client.close for client in clients if dice.random() < 0.4]
                staying = [client for client in clients if client.close not in steps]
                dice.shuffle(steps)
                for step in steps:
                    step()
                    if dice.random() < 0.5:
                        here.settle()
                for client in staying:
                    _check(client)
            count += len(clients)
            here.server.wait_ended(count)
        upstream.default = vendors.answer
        for number in range(3):
            assert here.ask({**STREAM, "seed": number}).body == WHOLE


def _by(dice: random.Random, gates: list[Gate]) -> Script:
    """Return a script that answers well, late or badly."""

    async def answer(call: Call) -> None:
        good = gated(dice.choice(gates), *FRAMES[:3], dice.choice(gates), *FRAMES[3:])
        failures = [vendors.failure(500, "No"), good.but(end="cut"), vendors.streamed(FRAMES[:4])]
        await call.give(dice.choice([good, good, good, *failures]))

    return answer


def _check(client: RawClient) -> None:
    with contextlib.suppress(Cut):
        answer = client.read_answer()
        if answer.status == 200 and b'"error"' not in answer.body and answer.body.endswith(b"[DONE]\n\n"):
            assert answer.body == WHOLE
