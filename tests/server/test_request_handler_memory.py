"""An exchange that is over leaves nothing in memory, however it ended, without the garbage collector."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable

import pytest

from llmproxy.answer import Answer
from llmproxy.client_request import ClientRequest
from llmproxy.errors import BadRequest, UpstreamError
from llmproxy.exchange import Exchange
from tests.support import vendors
from tests.support.cached import cached
from tests.support.provider import Gate, Reply, Upstream
from tests.support.proxy import CHAT, Listening, Scripted, provider
from tests.support.waiting import until

MESSAGES = "/v1/messages"
TEXT = "x" * 100_000
ASK: dict[str, object] = {
    "model": "gpt-x",
    "max_tokens": 9,
    "temperature": 0,
    "messages": [{"role": "user", "content": TEXT}],
}
STREAM: dict[str, object] = {**ASK, "stream": True}
EVENTS = (("Content-Type", "text/event-stream"),)

Case = Callable[[Listening, Upstream], None]


def _posted(value: dict[str, object], path: str = CHAT, reply: Reply | None = None) -> Case:
    def case(server: Listening, upstream: Upstream) -> None:
        if reply is not None:
            upstream.next(reply)
        with server.client() as client, contextlib.suppress(ConnectionError):
            client.post(path, value)
            client.read_answer()

    return case


def _left_in_body(server: Listening, upstream: Upstream) -> None:
    with server.client() as client:
        client.request("POST", CHAT, "Content-Length: 500000")
        client.send(b"x" * 100_000)
        until(lambda: server.budget.used_bytes >= 100_000, "the body to be read")


def _left_while_waiting(server: Listening, upstream: Upstream) -> None:
    upstream.hold()
    with server.client() as client:
        client.post(CHAT, ASK)
        call = upstream.take()
    call.wait_left()
    call.done()


def _left_in_stream(path: str) -> Case:
    def case(server: Listening, upstream: Upstream) -> None:
        gate = Gate()
        first, *_ = vendors.chat_frames("m", False, False)
        upstream.next(Reply(headers=EVENTS, pieces=[first, gate], framing="chunked"))
        with server.client() as client:
            client.post(path, STREAM)
            client.read_head()
            client.read_body_until(b"data: ")
        until(lambda: not server.edge.shared.running, "the exchange to end")
        gate.open()

    return case


def _uploaded(server: Listening, upstream: Upstream) -> None:
    with server.client() as client:
        client.request("POST", "/v1/files", body=TEXT.encode())
        client.read_answer()


def _undecodable(server: Listening, upstream: Upstream) -> None:
    with server.client() as client:
        client.request("POST", CHAT, "Content-Encoding: gzip", body=TEXT.encode())
        client.read_answer()


def _overloaded(server: Listening, upstream: Upstream) -> None:
    server.budget.limit_bytes = 150_000
    server.budget.count(100_000)
    assert server.post(ASK).status == 503
    server.budget.uncount(100_000)


CUT = Reply(headers=EVENTS, pieces=[b"data: {}\n\n", b"data: {"], framing="chunked", end="cut")
CASES: dict[str, Case] = {
    "plain": _posted(ASK),
    "stream": _posted(STREAM),
    "error of the provider": _posted(ASK, reply=vendors.failure(500, "Oops")),
    "cut answer": _posted(ASK, reply=Reply(pieces=[b"{"], length=9, end="cut")),
    "translated": _posted(ASK, MESSAGES),
    "translated stream": _posted(STREAM, MESSAGES),
    "translated nonsense": _posted(ASK, MESSAGES, Reply(pieces=[b"nonsense"])),
    "upload": _uploaded,
    "undecodable": _undecodable,
    "overload": _overloaded,
    "left in the body": _left_in_body,
    "left while waiting": _left_while_waiting,
    "left in the stream": _left_in_stream(CHAT),
    "left in the translated stream": _left_in_stream(MESSAGES),
}


def _kept(server: Listening) -> int:
    """Return how many exchanges are in memory when those that the test itself keeps are gone."""
    until(lambda: not server.edge.shared.running and not server.edge.connections, "everything to end")
    server.recorder.ended.clear()
    server.recorder.sent.clear()
    return sum(isinstance(each, Exchange) for each in gc.get_objects())


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("cache", [False, True], ids=["plain", "cached"])
def test_nothing_of_an_exchange_stays(upstream: Upstream, case: str, cache: bool) -> None:
    if cache and case.startswith("left"):
        pytest.skip("the call of a cache outlives its client for a moment, by way of the collector")
    with cached(provider(upstream)) if cache else Listening(provider(upstream)) as here:
        server = here if isinstance(here, Listening) else here.server
        gc.collect()
        gc.disable()
        gc.freeze()  # what is there already is not counted, and not looked through
        try:
            CASES[case](server, upstream)
            until(lambda: not _kept(server), "the exchange to be freed", 5)
        finally:
            gc.unfreeze()
            gc.enable()


@pytest.mark.parametrize("kind", [UpstreamError, BadRequest])
def test_nothing_of_an_exchange_stays_when_a_provider_fails(kind: type[Exception]) -> None:
    def fail(request: ClientRequest) -> Answer:
        raise kind("no")

    with Listening(Scripted("bad", fail)) as server:
        gc.collect()
        gc.disable()
        gc.freeze()
        try:
            assert server.post(ASK).status >= 400
            until(lambda: not _kept(server), "the exchange to be freed", 5)
        finally:
            gc.unfreeze()
            gc.enable()
