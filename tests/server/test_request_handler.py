"""One exchange from its request to its record: what the client gets and what the hooks see, whatever happens."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.client_request import ClientRequest
from llmproxy.errors import BadRequest, BrokenStream, Overloaded, ProxyError
from llmproxy.exchange import Exchange
from llmproxy.middleware.base import Middleware
from tests.support import vendors
from tests.support.pieces import Pieces
from tests.support.provider import Reply, Upstream
from tests.support.proxy import ASK, CHAT, Listening, Scripted, provider
from tests.support.raw_http import Cut

SSE = {"Content-Type": "text/event-stream"}
FRAME = b'data: {"n":1}\n\n'


class Failing(Middleware):
    """Raises an error in the hook that the test names."""

    def __init__(self, hook: str, error: Exception) -> None:
        super().__init__(self.Config())
        self._hook = hook
        self._error = error

    def _fail(self, hook: str) -> None:
        if hook == self._hook:
            raise self._error

    async def on_request(self, exchange: Exchange) -> Answer | None:
        self._fail("on_request")
        return None

    async def on_response(self, exchange: Exchange, answer: Answer) -> None:
        self._fail("on_response")

    def on_chunk(self, exchange: Exchange, data: bytes) -> None:
        self._fail("on_chunk")

    def on_end(self, exchange: Exchange) -> None:
        self._fail("on_end")


class Answering(Middleware):
    """Changes every answer as the test says."""

    def __init__(self, change: Callable[[Answer], None]) -> None:
        super().__init__(self.Config())
        self._change = change

    async def on_response(self, exchange: Exchange, answer: Answer) -> None:
        self._change(answer)


class Breaking(Pieces):
    """A stream that ends with an error."""

    def __init__(self, *pieces: bytes, error: Exception) -> None:
        super().__init__(*pieces)
        self._error = error

    async def read(self) -> bytes:
        data = await super().read()
        if not data:
            raise self._error
        return data


def stream(*pieces: bytes, error: Exception | None = None) -> Answer:
    """Return an event stream that breaks with `error` after its pieces."""
    body = Pieces(*pieces) if error is None else Breaking(*pieces, error=error)
    return Answer(status=200, headers=Headers(SSE), stream=body)


def test_an_exchange_that_went_well_is_recorded_with_all_that_is_known(upstream: Upstream, factory: Any) -> None:
    with Listening(provider(upstream), factory=factory) as server:
        answer = server.post()
        exchange = server.wait_ended()

        assert answer.json["choices"][0]["message"]["content"] == vendors.TEXT
        assert (exchange.status, exchange.outcome, exchange.error) == (200, "complete", None)
        assert exchange.sent_bytes == len(answer.body) and server.sent(exchange) == answer.body
        assert exchange.template == CHAT and exchange.endpoint is not None
        assert exchange.answer is not None and exchange.answer.status == 200
        assert exchange.summary.usage is not None and exchange.summary.usage.output == vendors.OUT
        assert exchange.call is not None and exchange.call.first_byte_s is not None and exchange.ended_s is not None
        assert exchange.started_s <= exchange.call.first_byte_s <= exchange.ended_s
        assert answer.value("x-request-id") == exchange.request_id
        assert answer.value("x-upstream-request-id") == "req_upstream"
        server.wait_counted(1, method="POST", path=CHAT, status="200")


def test_a_stream_is_shown_to_on_chunk_byte_for_byte_and_summed_up(upstream: Upstream, factory: Any) -> None:
    asked = ASK | {"stream": True, "stream_options": {"include_usage": True}}
    with Listening(provider(upstream), factory=factory) as server:
        answer = server.post(asked)
        exchange = server.wait_ended()

        assert answer.body == b"".join(vendors.chat_frames("gpt-x", usage=True)) == server.sent(exchange)
        assert (exchange.outcome, exchange.sent_bytes) == ("complete", len(answer.body))
        assert exchange.summary.usage is not None and exchange.summary.usage.input == vendors.IN
        assert exchange.first_token_s is not None


def test_a_stream_without_its_last_event_is_incomplete(factory: Any) -> None:
    with Listening(Scripted("own", stream(FRAME)), factory=factory) as server:
        assert server.post(ASK | {"stream": True}).body == FRAME
        assert server.wait_ended().outcome == "incomplete"


def test_pages_of_our_own_are_counted_and_shown_to_no_middleware(factory: Any) -> None:
    refusing = Failing("on_request", BadRequest("no")), Failing("on_response", BadRequest("no"))
    with Listening(Scripted("own", stream()), middlewares=refusing, factory=factory) as server:
        with server.client() as client:
            client.request("GET", "/health")
            assert client.read_answer("GET").status == 200
            client.request("DELETE", "/health")
            assert client.read_answer("DELETE").status == 405

        server.wait_counted(2, path="/health")
        assert server.ended == []


@pytest.mark.parametrize("hook", ["on_request", "on_response"])
@pytest.mark.parametrize("path", [CHAT, "/v1/messages"])
def test_a_mistake_in_a_hook_is_a_500_of_the_dialect_that_tells_nothing(
    upstream: Upstream, factory: Any, caplog: pytest.LogCaptureFixture, hook: str, path: str
) -> None:
    failing = Failing(hook, RuntimeError("secret detail"))
    with Listening(Scripted("own", stream(FRAME)), middlewares=[failing], factory=factory) as server:
        answer = server.post(path=path)
        exchange = server.wait_ended()

        assert answer.status == 500 and f"{hook} of middleware" in answer.json["error"]["message"]
        assert ("type" in answer.json) == (path == "/v1/messages")
        assert b"secret" not in answer.body
        assert "secret detail" in caplog.text and exchange.id in caplog.text
        assert (exchange.status, exchange.outcome) == (500, "error")
        assert exchange.error is not None and exchange.error.code == "internal_error"
        assert server.sent(exchange) == answer.body


@pytest.mark.parametrize("hook", ["on_request", "on_response"])
def test_a_hook_may_refuse_with_an_error_of_its_own(upstream: Upstream, factory: Any, hook: str) -> None:
    refusal = ProxyError("too many", status=429, code="limited", headers=(("Retry-After", "9"),))
    with Listening(provider(upstream), middlewares=[Failing(hook, refusal)], factory=factory) as server:
        answer = server.post()
        exchange = server.wait_ended()

        assert (answer.status, answer.value("retry-after")) == (429, "9")
        assert answer.json["error"]["message"] == "too many"
        assert (exchange.outcome, exchange.error) == ("error", refusal)
        assert len(upstream.requests) == (hook == "on_response")


@pytest.mark.parametrize("hook", ["on_chunk", "on_end"])
def test_a_mistake_in_a_hook_that_watches_is_logged_and_nothing_else(
    upstream: Upstream, factory: Any, caplog: pytest.LogCaptureFixture, hook: str
) -> None:
    failing = Failing(hook, RuntimeError("a mistake"))
    with Listening(provider(upstream), middlewares=[failing], factory=factory) as server:
        for number in (1, 2):
            assert server.post(ASK | {"stream": True}).body == b"".join(vendors.chat_frames("gpt-x"))
            assert server.wait_ended(number).outcome == "complete"
        server.wait_counted(2, status="200")

    assert caplog.text.count("RuntimeError: a mistake") == 2


def test_hooks_see_our_errors_too_and_may_change_them(upstream: Upstream, factory: Any) -> None:
    seen: list[int] = []

    def change(answer: Answer) -> None:
        seen.append(answer.status)
        answer.headers["X-Seen"] = "1"
        answer.status = 410

    with Listening(provider(upstream), middlewares=[Answering(change)], factory=factory) as server:
        unknown, nowhere, good = server.post(ASK | {"model": "nobody"}), server.post(path="/nowhere"), server.post()
        server.wait_ended(3)

        assert [answer.status for answer in (unknown, nowhere, good)] == [410] * 3
        assert [answer.value("x-seen") for answer in (unknown, nowhere, good)] == ["1"] * 3
        assert seen == [404, 404, 200]


def test_a_header_that_would_break_out_of_its_line_is_a_500(upstream: Upstream, factory: Any) -> None:
    def split(answer: Answer) -> None:
        answer.headers["X-Split"] = "a\r\nX-Evil: 1"

    with Listening(provider(upstream), middlewares=[Answering(split)], factory=factory) as server:
        answer = server.post()

        assert (answer.status, answer.values("x-evil")) == (500, [])
        assert server.wait_ended().outcome == "error"


def test_a_new_body_and_framing_of_a_hook_are_framed_by_us(upstream: Upstream, factory: Any) -> None:
    def change(answer: Answer) -> None:
        answer.body = b"changed"
        answer.headers["Content-Length"] = "3"
        answer.headers["Transfer-Encoding"] = "chunked"

    with Listening(Scripted("own", _whole), middlewares=[Answering(change)], factory=factory) as server:
        assert server.post().body == b"changed"
        assert server.wait_ended().sent_bytes == 7


def _whole(request: ClientRequest) -> Answer:
    return Answer(status=200, headers=Headers(), body=b"whole")


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_may_have_no_body_has_none_whatever_a_hook_says(factory: Any, status: int) -> None:
    def change(answer: Answer) -> None:
        answer.status = status

    with (
        Listening(Scripted("own", _whole), middlewares=[Answering(change)], factory=factory) as server,
        server.client() as client,
    ):
        for number in (1, 2):
            client.post(CHAT, ASK)
            assert client.read_answer().status == status
            assert server.wait_ended(number).sent_bytes == 0


@pytest.mark.parametrize("error", [RuntimeError("secret detail"), KeyError("secret")])
def test_a_mistake_of_a_provider_is_a_500_that_tells_nothing(
    factory: Any, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    with Listening(Scripted("own", error), factory=factory) as server:
        answer = server.post()

        assert answer.status == 500 and "provider 'own' failed" in answer.json["error"]["message"]
        assert b"secret" not in answer.body
        assert server.wait_ended().outcome == "error"
    assert "secret" in caplog.text


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (BrokenStream("cut here", code="cut"), "cut here"),
        (Overloaded("full"), "full"),
        (
            RuntimeError("secret detail"),
            "The answer ended too early: the stream Breaking of the answer of Scripted of provider 'own' failed",
        ),
    ],
)
@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/v1/responses"])
def test_a_stream_that_breaks_between_frames_ends_with_an_error_event(
    factory: Any, error: Exception, shown: str, path: str
) -> None:
    with Listening(Scripted("own", stream(FRAME, FRAME, error=error)), factory=factory) as server:
        with server.client() as client:
            client.post(path, ASK)
            answer = client.read_answer()
        exchange = server.wait_ended()

        event = answer.body.removeprefix(FRAME * 2)
        assert event.startswith(b"data: " if path == CHAT else b"event: error\ndata: ") and event.endswith(b"\n\n")
        assert json.loads(event.partition(b"data: ")[2]) and shown.encode() in event
        assert b"secret" not in answer.body
        assert (exchange.status, exchange.outcome) == (200, "broken")
        assert server.sent(exchange) == answer.body and exchange.sent_bytes == len(answer.body)
        assert isinstance(exchange.error, ProxyError)


@pytest.mark.parametrize("tail", [b"data: {", b"data: {}\n", b"data: {}\r\n\r"[:-1]])
@pytest.mark.parametrize("error", [BrokenStream("cut"), RuntimeError("a mistake")])
def test_a_stream_that_breaks_within_a_frame_is_cut(factory: Any, tail: bytes, error: Exception) -> None:
    with Listening(Scripted("own", stream(FRAME, tail, error=error)), factory=factory) as server:
        with server.client() as client, pytest.raises(Cut) as caught:
            client.post(CHAT, ASK)
            client.read_answer()
        exchange = server.wait_ended()

        assert (FRAME + tail).startswith(caught.value.got)
        assert (exchange.outcome, server.sent(exchange)) == ("broken", FRAME + tail)


@pytest.mark.parametrize("pieces", [(b"\n", b"\n"), (b"\r\n\r", b"\n"), (b"\r", b"\n", b"\r", b"\n")])
def test_the_end_of_a_frame_is_seen_wherever_it_is_cut(factory: Any, pieces: tuple[bytes, ...]) -> None:
    answer = stream(FRAME, b"data: {}", *pieces, error=BrokenStream("cut"))
    with Listening(Scripted("own", answer), factory=factory) as server:
        assert b"cut" in server.post().body


@pytest.mark.parametrize(
    ("piece", "headers", "length"),
    [
        (FRAME, SSE, 1000),
        (FRAME, {**SSE, "Content-Encoding": "gzip"}, None),
        (b"x" * 100_000, {}, None),
        (b"x" * 99_998 + b"\n\n", {}, None),
    ],
    ids=["of a length", "compressed", "plain", "plain with an empty line"],
)
def test_where_no_event_fits_a_broken_answer_is_cut(
    factory: Any, piece: bytes, headers: dict[str, str], length: int | None
) -> None:
    body = Breaking(piece, error=BrokenStream("cut"))
    answer = Answer(status=200, headers=Headers(headers), stream=body, length=length)
    with Listening(Scripted("own", answer), factory=factory) as server:
        with server.client() as client, pytest.raises(Cut):
            client.post(CHAT, ASK)
            client.read_answer()
        assert (server.wait_ended().outcome, body.closed > 0) == ("broken", True)


@pytest.mark.parametrize("tail", [b"", b"data: {"])
def test_for_http_1_0_a_break_within_a_frame_is_no_clean_end(factory: Any, tail: bytes) -> None:
    pieces = (FRAME, tail) if tail else (FRAME,)
    with Listening(Scripted("own", stream(*pieces, error=BrokenStream("cut"))), factory=factory) as server:
        with server.client() as client:
            client.request("POST", CHAT, body=json.dumps(ASK).encode(), version="1.0")
            if tail:
                with pytest.raises(ConnectionResetError):
                    client.read_answer()
            else:
                answer = client.read_answer()
                assert answer.framing == "eof" and b"cut" in answer.body
        assert server.wait_ended().outcome == "broken"


def test_an_upgrade_to_a_websocket_is_refused_with_426(upstream: Upstream, factory: Any) -> None:
    with Listening(provider(upstream), factory=factory) as server, server.client() as client:
        client.request("GET", "/v1/responses", "Upgrade: WebSocket", "Connection: Upgrade", "Sec-WebSocket-Key: x")
        answer = client.read_answer("GET")

        assert answer.status == 426 and client.ended()
        assert server.wait_ended().outcome == "error"


def test_head_gets_the_head_alone_and_the_connection_serves_on(upstream: Upstream, factory: Any) -> None:
    upstream.next(Reply(length=1234, headers=(("X-Vendor", "1"),)))
    with Listening(provider(upstream), factory=factory) as server, server.client() as client:
        client.request("HEAD", "/v1/files/f")
        relayed = client.read_answer("HEAD")
        client.request("HEAD", "/nowhere")
        ours = client.read_answer("HEAD")
        client.request("HEAD", "/health")
        page = client.read_answer("HEAD")
        client.request("GET", "/health")
        whole = client.read_answer("GET")

    assert (relayed.status, relayed.value("content-length"), relayed.value("x-vendor")) == (200, "1234", "1")
    assert ours.status == 404 and int(ours.value("content-length") or 0) > 0
    assert page.value("content-length") == whole.value("content-length")


def test_a_client_that_reads_slowly_makes_no_copy_of_a_long_answer(factory: Any) -> None:
    body = bytes(range(256)) * 100_000
    answer = Answer(status=200, headers=Headers({"Content-Type": "application/octet-stream"}), body=body)
    with Listening(Scripted("long", answer), factory=factory) as server, server.client(receive_buffer=4096) as client:
        client.post(CHAT, ASK)
        head = client.read_head()
        [connection] = server.edge.connections
        assert connection.transport is not None
        assert connection.transport.get_write_buffer_size() < 1_000_000
        assert head.value("content-length") == str(len(body))
        assert client.read_exactly(len(body)) == body
        server.wait_ended()
    assert server.ended[0].sent_bytes == len(body)
