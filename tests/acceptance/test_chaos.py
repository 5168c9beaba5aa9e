"""Both sides break off at random: every request is still counted exactly once, and nothing stays behind."""

from __future__ import annotations

import contextlib
import random
import threading

from tests.support import vendors
from tests.support.program import Program, counted
from tests.support.provider import Call, Reply, Upstream, drop, reset
from tests.support.raw_http import RawClient
from tests.support.waiting import until

CHAT = "/v1/chat/completions"
CLIENTS, REQUESTS = 8, 40


def _break_somewhere(dice: random.Random) -> Reply:
    """A stream in pieces, whole or cut, framed and ended somehow."""
    whole = b"".join(vendors.chat_frames("gpt-x", usage=True))
    cut = dice.random() < 0.4
    sent = whole[: dice.randrange(len(whole))] if cut else whole
    size = dice.choice([7, 100, 10_000])
    return Reply(
        headers=vendors.SSE,
        pieces=[sent[start : start + size] for start in range(0, len(sent), size)],
        framing=dice.choice(["chunked", "eof", "length"]),
        length=len(whole),
        end=dice.choice(["cut", "reset"]) if cut else dice.choice(["keep", "close"]),
    )


def _leave_somewhere(client: RawClient, dice: random.Random) -> None:
    moment = dice.random()
    if moment < 0.2:
        client.reset()
    elif moment < 0.4:
        client.read_head()
        client.reset() if dice.random() < 0.5 else client.close()
    else:
        client.read_answer()


async def _answer_somehow(call: Call) -> None:
    dice = random.Random(call.request.target)
    fate = dice.random()
    if fate < 0.1:
        await (drop if fate < 0.05 else reset)(call)
        return
    reply = _break_somewhere(dice)
    await call.give(reply)
    if reply.end == "cut":
        call.connection.fin()


def _use(relay: Program, number: int) -> None:
    for count in range(REQUESTS):
        with relay.client() as client, contextlib.suppress(ConnectionError):
            client.post(f"{CHAT}?{number}.{count}", {"model": "gpt-x", "stream": True})
            _leave_somewhere(client, random.Random(number * 1000 + count))


def test_whoever_breaks_off_every_request_is_counted_once(relay: Program, upstream: Upstream) -> None:
    upstream.next(*[_answer_somehow] * (2 * CLIENTS * REQUESTS))
    with counted(relay, "http_requests_total", CLIENTS * REQUESTS, path=CHAT):
        threads = [threading.Thread(target=_use, args=(relay, number)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(upstream.requests) > CLIENTS * REQUESTS / 2
    until(lambda: relay.metric("llmproxy_held_bytes") == 0, "everything held to be given back")
