"""A fake provider on a real socket that records requests and answers by script, as badly as the script likes.

`Upstream` runs in a thread of its own, so that sync and async tests use it alike. Each request takes the next script
that the test queued with `next`; without one it is answered as a well-behaved vendor would (`vendors.py`). A
script is a `Reply`, a coroutine function that gets the `Call`, or `Upstream.hold`: then the test itself speaks, byte by
byte.
"""

from __future__ import annotations

import asyncio
import queue
import ssl
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar

from tests.support.connection import Connection, Gone, Greeting, Received, read_body, read_head
from tests.support.waiting import PATIENCE_S

CERTIFICATES = Path(__file__).parent / "certificates"

Pairs = tuple[tuple[str, str], ...]
T = TypeVar("T")


class Gate:
    """A point in a reply where the upstream waits until the test opens it."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._lock = threading.Lock()

    def open(self) -> None:
        with self._lock:
            self._open.set()
            for loop, event in self._waiting:
                loop.call_soon_threadsafe(event.set)
            self._waiting.clear()

    async def wait(self) -> None:
        passed = asyncio.Event()
        with self._lock:
            if self._open.is_set():
                return
            self._waiting.append((asyncio.get_running_loop(), passed))
        await passed.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer and its form on the wire.

    `pieces` are written one by one; a Gate among them holds the rest back. `framing` `eof` delimits by closing, `none`
    sends no framing header at all. `length` overrides the declared Content-Length. `end`: `keep` the connection,
    `close` it after the whole answer, `cut` it with FIN where the pieces end (no last chunk), `reset` it there.
    `before` goes out first, as it is.
    """

    status: int = 200
    reason: str = "OK"
    headers: Pairs = (("Content-Type", "application/json"),)
    pieces: Iterable[bytes | Gate] = ()
    framing: Literal["length", "chunked", "eof", "none"] = "length"
    length: int | None = None
    trailers: Pairs = ()
    before: bytes = b""
    end: Literal["keep", "close", "cut", "reset"] = "keep"

    def but(self, *headers: tuple[str, str], end: Literal["keep", "close", "cut", "reset"] | None = None) -> Reply:
        """Return the same with more headers, or another end."""
        return replace(self, headers=self.headers + headers, end=end or self.end)


class Call:
    """A request and its open answer: all that a script may use, inside the upstream's loop."""

    def __init__(self, request: Received) -> None:
        self.request = request
        self.connection = request.connection
        self.arrived_s = time.monotonic()

    async def send(self, data: bytes) -> None:
        await self.connection.send(data)

    async def give(self, reply: Reply) -> None:
        """Put `reply` on the wire."""
        pieces = list(reply.pieces) if reply.framing == "length" and reply.length is None else reply.pieces
        await self.send(reply.before + _head(reply, pieces))
        if self.request.method == "HEAD" and reply.end == "keep":
            return
        for piece in pieces:
            if isinstance(piece, Gate):
                await piece.wait()
            else:
                await self.send(b"%x\r\n%b\r\n" % (len(piece), piece) if reply.framing == "chunked" else piece)
        if reply.end == "reset":
            self.connection.rst()
            return
        if reply.framing == "chunked" and reply.end != "cut":
            await self.send(b"0\r\n" + _lines(reply.trailers) + b"\r\n")
        if reply.end != "keep" or reply.framing == "eof":
            self.connection.fin()


def _lines(headers: Pairs) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode("utf-8", "surrogateescape")


def _head(reply: Reply, pieces: Iterable[bytes | Gate]) -> bytes:
    headers = reply.headers
    if reply.framing == "chunked":
        headers += (("Transfer-Encoding", "chunked"),)
    elif reply.framing == "length":
        names = (
            sum(len(piece) for piece in pieces if isinstance(piece, bytes)) if reply.length is None else reply.length
        )
        headers += (("Content-Length", str(names)),)
    return f"HTTP/1.1 {reply.status} {reply.reason}\r\n".encode() + _lines(headers) + b"\r\n"


class HeldCall:
    """A call that the test answers itself, from its own thread."""

    def __init__(self, call: Call, loop: asyncio.AbstractEventLoop) -> None:
        self.request = call.request
        self.finished = asyncio.Event()
        self._call = call
        self._loop = loop

    def send(self, data: bytes) -> None:
        self._do(self._call.send(data))

    def give(self, reply: Reply) -> None:
        """Send `reply`; the call stays open for more."""
        self._do(self._call.give(reply))

    def done(self) -> None:
        """End the answer; the connection serves the next request."""
        self._loop.call_soon_threadsafe(self.finished.set)

    def fin(self) -> None:
        self._loop.call_soon_threadsafe(self._call.connection.fin)
        self.done()

    def rst(self) -> None:
        self._loop.call_soon_threadsafe(self._call.connection.rst)
        self.done()

    def wait_left(self, timeout_s: float = PATIENCE_S) -> float:
        """Wait until the peer has closed the connection; the monotonic time at which it did."""
        self._do(self._call.connection.left.wait(), timeout_s)
        self.done()
        assert self._call.connection.peer_left_s is not None, "it was the upstream itself that ended the connection"
        return self._call.connection.peer_left_s

    def _do(self, work: Awaitable[T], timeout_s: float = PATIENCE_S) -> T:
        async def bounded() -> T:
            return await asyncio.wait_for(work, timeout_s)

        return asyncio.run_coroutine_threadsafe(bounded(), self._loop).result(timeout_s + 1)


Script = Callable[[Call], Awaitable[None]]


async def drop(call: Call) -> None:
    """Script: close without a byte of an answer, as a server does whose keep-alive ran out at this moment."""
    call.connection.fin()


async def reset(call: Call) -> None:
    """Script: reset without a byte of an answer."""
    call.connection.rst()


async def silence(call: Call) -> None:
    """Script: never answer."""
    await call.connection.left.wait()


async def echo(call: Call) -> None:
    """Script: the request's body back, with its own content type and encoding."""
    names = ("content-type", "content-encoding")
    headers = tuple((name, value) for name in names for value in call.request.values(name))
    await call.give(Reply(headers=headers, pieces=[call.request.body]))


def tunnel(port: int) -> Script:
    """Script of an outgoing proxy: accept a CONNECT, then pass bytes to and from `port` on loopback, wherever the
    client wanted to go."""

    async def splice(call: Call) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def upwards() -> None:
            while True:
                writer.write(await call.connection.some())

        await call.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(upwards())
                while data := await reader.read(65536):
                    await call.send(data)
                call.connection.fin()
        except* (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    return splice


class Upstream:
    """A fake provider: `with Upstream() as upstream`. `default` answers requests for which no script is queued.

    `greeting` says what happens to new connections: `read` them, `ignore` them (accepted, never read) or `reset` them.
    With `tls` it speaks TLS by the certificate of `tests/certificates`, for `localhost` and 127.0.0.1, or by files of a
    certificate and its key.
    """

    def __init__(self, default: Script | Reply, *, tls: bool | tuple[Path, Path] = False) -> None:
        self.default = default
        self.greeting: Greeting = "read"
        self.requests: list[Received] = []
        self.connections: list[Connection] = []
        self.port = 0
        self._tls = tls
        self._early = False
        self._scripts: deque[Script | Reply] = deque()
        self._held: queue.Queue[HeldCall] = queue.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop
        self._stopping: asyncio.Event
        self._group: asyncio.TaskGroup
        self._ready = threading.Event()
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="fake upstream", daemon=True)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}" if self._tls else f"http://127.0.0.1:{self.port}"

    def next(self, *scripts: Script | Reply) -> None:
        """Answer the coming requests by these, one each."""
        self._scripts.extend(scripts)

    def hold(self) -> None:
        """Hold the coming request: `take` gives it to the test, which answers."""
        self._scripts.append(self._hold)

    def next_early(self, script: Script) -> None:
        """Answer the coming request by `script`, which begins before the body is read."""
        self._early = True
        self._scripts.append(script)

    def hold_early(self) -> None:
        """Hold the coming request before its body is read."""
        self.next_early(self._hold)

    def take(self, timeout_s: float = PATIENCE_S) -> HeldCall:
        """Return the request that was held, as soon as it is here."""
        return self._held.get(timeout=timeout_s)

    @property
    def last(self) -> Received:
        return self.requests[-1]

    @property
    def only(self) -> Received:
        """Return the one request that came."""
        assert len(self.requests) == 1, [request.head for request in self.requests]
        return self.requests[0]

    def forget(self) -> None:
        """Reset for the next test: no records, no scripts."""
        self._scripts.clear()
        self.requests.clear()
        self.greeting = "read"
        self._early = False
        self._held = queue.Queue()

    def check(self) -> None:
        """Raise the error of a script."""
        if fault := self._fault:
            self._fault = None
            raise fault

    def close_idle(self) -> None:
        """Close every connection that waits for a request, as a keep-alive timeout does; return when all are closed."""

        async def close() -> None:
            for connection in self.connections:
                if not connection.busy:
                    connection.fin()
                    await connection.left.wait()

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(PATIENCE_S)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        if not fault:
            self.check()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as fault:
            self._fault = fault

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        context = None
        if self._tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            ours = CERTIFICATES / "server.pem", CERTIFICATES / "server.key"
            context.load_cert_chain(*(self._tls if isinstance(self._tls, tuple) else ours))
        async with asyncio.TaskGroup() as self._group:
            server = await self._loop.create_server(self._accept, "127.0.0.1", 0, ssl=context)
            self.port = server.sockets[0].getsockname()[1]
            self._ready.set()
            await self._stopping.wait()
            server.close()
            for connection in self.connections:
                connection.rst()
            for task in self._tasks:
                task.cancel()

    def _accept(self) -> Connection:
        return Connection(len(self.connections) + 1, self.greeting, self._begin)

    def _begin(self, connection: Connection) -> None:
        self.connections.append(connection)
        self._tasks.add(self._group.create_task(self._converse(connection)))

    async def _converse(self, connection: Connection) -> None:
        try:
            while not connection.left.is_set():
                await self._exchange(connection)
                connection.served += 1
                connection.busy = False
        except Gone:
            pass
        except Exception as fault:  # a script's own mistake: the test must hear of it
            self._fault = fault
            connection.rst()

    async def _exchange(self, connection: Connection) -> None:
        request = await read_head(connection)
        early, self._early = self._early, False
        if not early:
            await read_body(request)
        self.requests.append(request)
        script = self._scripts.popleft() if self._scripts else self.default
        call = Call(request)
        if isinstance(script, Reply):
            await call.give(script)
        else:
            await script(call)

    async def _hold(self, call: Call) -> None:
        held = HeldCall(call, self._loop)
        self._held.put(held)
        await held.finished.wait()
