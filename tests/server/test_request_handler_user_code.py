"""Whatever a user's hook raises or returns: an error of the client's dialect, a line in the log that names it, the
exchange counted and ended once, and a server that goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.errors import ProxyError
from llmproxy.exchange import Exchange
from llmproxy.middleware.base import Middleware, PageRequest
from tests.support.pieces import Pieces
from tests.support.proxy import ASK, CHAT, Listening, Scripted, loops
from tests.support.raw_http import Cut
from tests.support.waiting import until

DECIDING = ("on_request", "around", "on_response")
RAISED = [
    SystemExit(3),
    KeyboardInterrupt(),
    asyncio.CancelledError(),
    GeneratorExit(),
    RecursionError("deep"),
    MemoryError(),
    StopAsyncIteration(),
    ProxyError("x", status="451"),  # type: ignore[arg-type]  # as users write it
    ProxyError("x", headers={"Retry-After": 3}),  # type: ignore[arg-type]
]
NUMBER: Any = {"a": 1}
FRAME = b'data: {"n":1}\n\n'


def fine() -> Answer:
    return Answer(status=200, headers=Headers({"Content-Type": "application/json"}), body=b"{}")


def of(**parts: Any) -> Answer:
    return Answer(**{"status": 200, "headers": Headers(), **parts})


class Strange(Middleware):
    """Calls what the test says in one of its hooks, for requests with the header `x-do`."""

    def __init__(self, hook: str, does: Callable[[Any], Any]) -> None:
        super().__init__(self.Config())
        self._hook = hook
        self.does = does

    def _do(self, hook: str, exchange: Exchange, value: Any = None) -> Any:
        if hook == self._hook and "x-do" in exchange.headers:
            return self.does(value if value is not None else exchange)
        return None

    async def on_request(self, exchange: Exchange) -> Answer | None:
        return self._do("on_request", exchange)  # type: ignore[no-any-return]

    async def around(self, exchange: Exchange, proceed: Callable[[], Awaitable[Answer]]) -> Answer:
        answer = await proceed()
        if self._hook == "around" and "x-do" in exchange.headers:
            return self._do("around", exchange, answer)  # type: ignore[no-any-return]
        return answer

    async def on_response(self, exchange: Exchange, answer: Answer) -> None:
        return self._do("on_response", exchange, answer)  # type: ignore[no-any-return]

    def on_chunk(self, exchange: Exchange, data: bytes) -> None:
        return self._do("on_chunk", exchange)  # type: ignore[no-any-return]

    def on_end(self, exchange: Exchange) -> None:
        return self._do("on_end", exchange)  # type: ignore[no-any-return]


def throw(error: BaseException) -> Callable[[Any], Any]:
    def raise_it(_: Any) -> None:
        raise error

    return raise_it


def change(name: str, value: object) -> Callable[[Any], Any]:
    return lambda answer: setattr(answer, name, value)


def _check_500(server: Listening, path: str = CHAT) -> Exchange:
    """Check that one request fails, and the next one, which the hook leaves alone, does not."""
    before = len(server.ended)
    answer = server.post(ASK, "x-do: it", path=path)
    assert answer.status == 500 and answer.json["error"]["message"], answer
    assert ("type" in answer.json) == (path == "/v1/messages")
    exchange = server.wait_ended(before + 1)
    assert (exchange.status, exchange.outcome) == (500, "error")
    assert server.post(path=path).status == 200
    server.wait_ended(before + 2)
    return exchange


@pytest.mark.parametrize("hook", DECIDING)
def test_whatever_a_hook_raises_is_a_500(hook: str, caplog: pytest.LogCaptureFixture) -> None:
    middleware = Strange(hook, lambda _: None)
    with Listening(Scripted("own", lambda _: fine()), middlewares=[middleware], factory=loops()[-1]) as server:
        for error in RAISED:
            middleware.does = throw(error)
            exchange = _check_500(server, "/v1/messages" if hook == "around" else CHAT)
            if not isinstance(error, ProxyError):
                line = f"{exchange.id}: {hook} of middleware '0' failed with {type(error).__name__}"
                assert line in caplog.text


WRONG: list[tuple[str, Callable[[Any], Any], str]] = [
    ("around", lambda answer: None, "returned None, not an Answer"),
    ("around", lambda answer: answer.body, "returned a value of type bytes, not an Answer"),
    ("on_request", lambda exchange: True, "returned a value of type bool"),
    ("on_request", lambda exchange: {"status": 200}, "returned a value of type dict"),
    ("on_request", lambda exchange: of(status="200"), "status is '200', not a number"),
    ("on_request", lambda exchange: of(status=True), "status is True"),
    ("on_request", lambda exchange: of(status=99), "status is 99"),
    ("on_request", lambda exchange: of(headers=[("a", "b")]), "headers are a value of type list"),
    ("on_request", lambda exchange: of(headers={"a": "b"}), "headers are a value of type dict"),
    ("on_request", lambda exchange: of(headers=Headers(NUMBER)), "header 'a' is a value of type int"),
    ("on_request", lambda exchange: of(body="text"), "body is a value of type str, not bytes"),
    ("on_request", lambda exchange: of(stream=iter([b"x"])), "stream is a value of type list_iterator"),
    ("on_request", lambda exchange: of(stream=Pieces(b"x"), length="1"), "length is '1'"),
    ("on_request", change("model", 5), "set exchange.model to a int"),
    ("on_request", change("headers", {"x-do": "it"}), "set exchange.headers to a dict"),
    ("on_request", change("body", b"{}"), "set exchange.body to a bytes"),
    ("on_request", change("id", "other"), "set exchange.id to another value; it must not be changed"),
    ("on_request", change("request_id", "x\r\nSet-Cookie: a=b"), "request_id to another value; it must be printable"),
    ("on_request", change("request_id", None), "set exchange.request_id to a NoneType"),
    ("on_request", change("path", None), "set exchange.path to a NoneType"),
    ("on_request", change("query", b"x"), "set exchange.query to a bytes"),
    ("on_request", change("endpoint", "chat"), "set exchange.endpoint to a str"),
    ("on_request", change("client", None), "set exchange.client to a NoneType"),
    ("on_request", change("calls", None), "set exchange.calls to a NoneType"),
    ("on_request", change("muted", None), "set exchange.muted to a NoneType"),
    ("on_request", lambda exchange: exchange.headers.add("X-A", 5), "set the header 'X-A' of the request to a int"),
    ("on_request", lambda exchange: of(summary="x"), "summary is a value of type str"),
    ("on_request", lambda exchange: of(error="x"), "error is a value of type str"),
    ("on_request", lambda exchange: of(reason=None), "reason is None"),
    ("on_response", change("bodiless", "x"), "bodiless is a value of type str"),
    ("on_response", lambda answer: fine(), "returned a value of type Answer, not None"),
    ("on_response", change("status", "200"), "status is '200'"),
    ("on_response", change("body", "text"), "body is a value of type str"),
    ("on_response", change("headers", None), "headers are None"),
    ("on_response", lambda answer: answer.headers.add("a", None), "header 'a' is None"),
]


@pytest.mark.parametrize("hook", DECIDING)
def test_whatever_a_hook_returns_or_sets_is_a_500_that_names_it(hook: str, caplog: pytest.LogCaptureFixture) -> None:
    middleware = Strange(hook, lambda _: None)
    with Listening(Scripted("own", lambda _: fine()), middlewares=[middleware], factory=loops()[-1]) as server:
        for _, does, words in [row for row in WRONG if row[0] == hook]:
            middleware.does = does
            exchange = _check_500(server)
            lines = [each.message for each in caplog.records if exchange.id in each.message]
            assert len(lines) == 1 and f"{hook} of middleware '0'" in lines[0] and words in lines[0], words


def test_on_response_may_return_the_answer_that_it_got() -> None:
    with Listening(
        Scripted("own", lambda _: fine()), middlewares=[Strange("on_response", lambda answer: answer)]
    ) as server:
        assert server.post(ASK, "x-do: it").status == 200


def test_what_around_does_not_give_back_is_closed() -> None:
    rest = Pieces(FRAME)
    answer = Answer(status=200, headers=Headers({"Content-Type": "text/event-stream"}), stream=rest)
    with Listening(Scripted("own", answer), middlewares=[Strange("around", lambda answer: None)]) as server:
        assert server.post(ASK, "x-do: it").status == 500
        server.wait_ended()
    assert rest.closed


class Text(Pieces):
    """A stream of strings."""

    async def read(self) -> bytes:
        return (await super().read()).decode()  # type: ignore[return-value]


class NotAsync(Pieces):
    """A stream that forgot `async`."""

    def read(self) -> bytes:  # type: ignore[override]
        return b"x"


class Exits(Pieces):
    """A stream that wants to end the program, with its end too."""

    async def read(self) -> bytes:
        if data := await super().read():
            return data
        raise SystemExit(1)

    def close(self) -> None:
        raise KeyboardInterrupt


def giving(hook: str, kind: type[Pieces], *pieces: bytes) -> Strange:
    """Return a middleware that answers with a stream."""

    def give(answer: Any) -> Any:
        mine = of(headers=Headers({"Content-Type": "text/event-stream"}), stream=kind(*pieces))
        if hook == "on_response":
            answer.headers, answer.stream, answer.body = mine.headers, mine.stream, b""
            return None
        return mine

    return Strange(hook, give)


@pytest.mark.parametrize("kind", [Text, NotAsync, Exits])
@pytest.mark.parametrize("hook", DECIDING)
def test_a_stream_whose_beginning_is_wrong_is_a_500(
    kind: type[Pieces], hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    pieces = [FRAME] if kind is Text else []
    middleware = giving(hook, kind, *pieces)
    with Listening(Scripted("own", lambda _: fine()), middlewares=[middleware], factory=loops()[-1]) as server:
        _check_500(server)
    assert f"stream {kind.__name__} of the answer of {hook} of middleware '0'" in caplog.text


@pytest.mark.parametrize(("kind", "piece"), [(Exits, FRAME), (Exits, FRAME[:-1])])
@pytest.mark.parametrize("hook", DECIDING)
def test_a_stream_of_a_users_own_that_breaks_off_never_ends_cleanly(
    kind: type[Pieces], piece: bytes, hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Listening(
        Scripted("own", lambda _: fine()), middlewares=[giving(hook, kind, piece)], factory=loops()[-1]
    ) as server:
        with server.client() as client:
            client.post(CHAT, ASK, "x-do: it")
            try:
                assert b'"error"' in client.read_answer().body
            except Cut:
                assert piece and not piece.endswith(b"\n\n")
        assert server.wait_ended().outcome == "broken"
        assert server.post().status == 200
    assert f"stream {kind.__name__} of the answer of {hook} of middleware '0'" in caplog.text


@pytest.mark.parametrize("hook", ["on_chunk", "on_end"])
def test_whatever_a_watching_hook_raises_is_only_logged(hook: str, caplog: pytest.LogCaptureFixture) -> None:
    middleware = Strange(hook, lambda _: None)
    with Listening(Scripted("own", lambda _: fine()), middlewares=[middleware], factory=loops()[-1]) as server:
        for number, error in enumerate(RAISED[:7]):
            middleware.does = throw(error)
            assert server.post(ASK, "x-do: it").status == 200
            assert server.wait_ended(number + 1).outcome == "complete"
    for error in RAISED[:7]:
        assert f"{hook} of middleware '0' failed with {type(error).__name__}" in caplog.text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", "x"),
        ("template", 5),
        ("calls", 5),
        ("client", None),
        ("held_bytes", None),
        ("muted", None),
        ("model", []),
    ],
)
@pytest.mark.parametrize("hook", ["on_chunk", "on_end"])
def test_what_a_watching_hook_breaks_is_put_back(
    hook: str, name: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    middleware = Strange(hook, change(name, value))
    with Listening(Scripted("own", lambda _: fine()), middlewares=[middleware], factory=loops()[-1]) as server:
        assert server.post(ASK, "x-do: it").status == 200
        exchange = server.wait_ended()
        assert exchange.outcome == "complete" and getattr(exchange, name) != value
        until(lambda: not server.edge.shared.running, "the exchange to be forgotten")
    assert f"{hook} of middleware '0' set exchange.{name} to" in caplog.text
    assert "Traceback" not in caplog.text


class Cancels(Middleware):
    """Cancels its own task, as a wrong use of timeouts does."""

    async def on_request(self, exchange: Exchange) -> Answer | None:
        task = asyncio.current_task()
        if task is not None and "x-do" in exchange.headers:
            task.cancel()
            await asyncio.sleep(0)
        return None


def test_a_hook_that_cancels_its_own_task_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    with Listening(Scripted("own", lambda _: fine()), middlewares=[Cancels(Cancels.Config())]) as server:
        exchange = _check_500(server)
    assert f"exchange {exchange.id} was cancelled by a hook" in caplog.text


async def _coroutine() -> None:
    raise AssertionError("nobody runs it")


@pytest.mark.parametrize(("result", "words"), [(b"other", "is ignored"), (_coroutine, "never run: write `def`")])
@pytest.mark.parametrize("hook", ["on_chunk", "on_end"])
def test_what_a_watching_hook_returns_is_logged_once(
    hook: str, result: Any, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    middleware = Strange(hook, lambda _: result() if callable(result) else result)
    frames = Answer(status=200, headers=Headers({"Content-Type": "text/event-stream"}), stream=Pieces(FRAME, FRAME))
    with Listening(Scripted("own", frames), middlewares=[middleware]) as server:
        assert server.post(ASK, "x-do: it").body == FRAME * 2
        server.wait_ended()
    lines = [each.message for each in caplog.records if f"{hook} of middleware '0'" in each.message]
    assert len(lines) == 1 and words in lines[0]


def test_an_own_page_calls_no_hook_at_all(caplog: pytest.LogCaptureFixture) -> None:
    called: list[str] = []

    class Every(Middleware):
        """Notes each hook."""

        async def on_request(self, exchange: Exchange) -> Answer | None:
            called.append("on_request")
            return None

        async def on_response(self, exchange: Exchange, answer: Answer) -> None:
            called.append("on_response")

        def on_chunk(self, exchange: Exchange, data: bytes) -> None:
            called.append("on_chunk")

        def on_end(self, exchange: Exchange) -> None:
            called.append("on_end")

    with Listening(Scripted("own", lambda _: fine()), middlewares=[Every(Every.Config())]) as server:
        with server.client() as client:
            for path in ("/health", "/metrics", "/v1/models", "/sessions"):
                client.request("GET", path)
                client.read_answer("GET")
        server.wait_counted(1, path="/health")
    assert called == []


class Paged(Middleware):
    """Has a page and figures that fail."""

    page_path = "/mine"

    def describe(self) -> Any:
        return 7

    async def stats(self) -> Any:
        raise SystemExit

    async def metrics(self) -> Any:
        return ["no sample"]

    async def page(self, request: PageRequest) -> Any:
        raise KeyError("secret")


def test_pages_go_on_without_what_a_middleware_shows_wrongly(caplog: pytest.LogCaptureFixture) -> None:
    with Listening(Scripted("own", lambda _: fine()), middlewares=[Paged(Paged.Config())]) as server:
        with server.client() as client:
            statuses = {}
            for path in ("/health", "/metrics", "/stats", "/metrics/json", "/mine"):
                client.request("GET", path)
                statuses[path] = client.read_answer("GET").status
        assert statuses == {"/health": 200, "/metrics": 200, "/stats": 200, "/metrics/json": 200, "/mine": 500}
    assert "the page /mine of middleware '0' failed with KeyError" in caplog.text
    assert "stats of middleware '0' failed with SystemExit" in caplog.text


class Helpless(Scripted):
    """A provider whose methods do what the test says."""

    def __init__(self, method: str, does: Callable[[], Any]) -> None:
        super().__init__("helpless", lambda _: fine())
        self._method, self._does = method, does

    def _do(self, method: str, otherwise: Any) -> Any:
        return self._does() if method == self._method else otherwise

    async def ready(self) -> None:
        self._do("ready", None)

    def prepare(self, request: Any, target: object) -> None:
        return self._do("prepare", None)  # type: ignore[no-any-return]

    async def answer(self, request: Any, target: object) -> Answer:
        return self._do("answer", fine())  # type: ignore[no-any-return]

    def list_models(self, request: Any) -> Any:
        return self._do("list_models", None)


def _exit() -> None:
    raise SystemExit(1)


@pytest.mark.parametrize(
    ("method", "does"),
    [
        ("ready", _exit),
        ("prepare", _exit),
        ("prepare", lambda: "http://x"),
        ("answer", _exit),
        ("answer", lambda: None),
        ("answer", lambda: {"status": 200}),
        ("answer", lambda: of(body="text")),
    ],
)
def test_whatever_a_users_provider_does_is_a_500_that_names_it(
    method: str, does: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    with Listening(Helpless(method, does), factory=loops()[-1]) as server:
        answer = server.post()
        assert answer.status == 500 and "provider 'helpless'" in answer.json["error"]["message"]
        server.wait_ended()
    assert "Helpless of provider 'helpless'" in caplog.text


def test_a_provider_whose_list_fails_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    other = Scripted("other", lambda _: fine())
    other.models = ("mine",)  # type: ignore[assignment]  # it has none otherwise
    with Listening(Helpless("list_models", _exit), other, factory=loops()[-1]) as server, server.client() as client:
        client.request("GET", "/v1/models")
        assert [each["id"] for each in client.read_answer("GET").json["data"]] == ["mine"]
    assert "models of provider 'helpless'" in caplog.text
