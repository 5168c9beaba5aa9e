"""Calls between two processes of this program over a Unix socket: the parent and one of its workers.

Either end calls what the other serves. Calls run side by side and are answered in any order. What happens in one turn
of the event loop goes out in one write. A call ends with a result or a StoreFault, and with the latter as soon as the
peer is gone. Nothing here knows what is called. Begin reading at `Link.call`.

A frame is its length in 4 bytes and a MessagePack array: a number, a name, a value. A call has its caller's next
number, the operation and its arguments; its answer has the same number, and a name that no operation has. Number 0
wants no answer.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar, cast

import msgspec

from llmproxy.stores.facet import StoreFault, StoreRefusal

log = logging.getLogger(__name__)

T = TypeVar("T")
_Handler = Callable[..., object]

MAX_FRAME_BYTES = 256 << 20
MAX_CALLS = 4096  # under way at a time; further ones wait
MAX_BACKLOG_BYTES = 64 << 20  # of messages that a peer does not read
_HEAD_BYTES = 4
_CLOSE_S = 1.0

_RESULT, _FAULT, _REFUSAL = "=", "!", "-"
_encode_into = msgspec.msgpack.Encoder().encode_into
_decode = msgspec.msgpack.Decoder(tuple[int, str, msgspec.Raw]).decode
_decode_text = msgspec.msgpack.Decoder(str).decode


class Operation(Generic[T]):
    """Something that one end serves and the other calls. `arguments` is the type of the tuple of its arguments,
    `result` that of its result; what arrives has these types. Both are whatever msgspec can encode."""

    __slots__ = ("name", "read_arguments", "read_result")

    def __init__(self, name: str, arguments: Any = tuple[Any, ...], result: Any = Any) -> None:
        self.name = name
        self.read_arguments: Callable[[msgspec.Raw], tuple[Any, ...]] = msgspec.msgpack.Decoder(arguments).decode
        self.read_result: Callable[[msgspec.Raw], T] = msgspec.msgpack.Decoder(result).decode


class _Call(Generic[T]):
    """A call under way. `unclaimed` gets a result for which nobody waits any more."""

    __slots__ = ("answer", "operation", "unclaimed")

    def __init__(
        self, operation: Operation[T], answer: asyncio.Future[T], unclaimed: Callable[[T], None] | None
    ) -> None:
        self.operation = operation
        self.answer = answer
        self.unclaimed = unclaimed

    def succeed(self, result: T) -> None:
        if not self.answer.done():
            self.answer.set_result(result)
        elif self.unclaimed is not None:
            self.unclaimed(result)

    def fail(self, fault: StoreFault) -> None:
        if not self.answer.done():
            self.answer.set_exception(fault)


class Link(asyncio.Protocol):
    """One end of the connection. `peer` names the other one in log lines and faults."""

    def __init__(self, peer: str) -> None:
        self._peer = peer
        self._handlers: dict[str, tuple[Operation[Any], _Handler]] = {}
        self._on_close: list[Callable[[], None]] = []
        self._transport: asyncio.Transport | None = None
        self._closed: asyncio.Future[None] | None = None
        self._calls: dict[int, _Call[Any]] = {}
        self._last = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._rest = bytearray()  # of a frame that has not arrived in full
        self._needed_bytes = _HEAD_BYTES  # of the next frame, as far as they are known
        self._out = bytearray()
        self._flushes = False
        self._paused = False
        self._room = asyncio.Event()

    def serve(self, operation: Operation[T], handler: Callable[..., T | Coroutine[Any, Any, T]]) -> None:
        """Let the peer call `operation`. `handler` gets its arguments and returns the result, or a coroutine for it,
        which then runs beside others. StoreFault and StoreRefusal reach the caller as what they are; any other error is
        logged here and is a StoreFault there."""
        self._handlers[operation.name] = operation, handler

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call `callback` once the connection is gone, whichever end closed it."""
        self._on_close.append(callback)

    async def connect(self, connected: socket.socket) -> None:
        """Begin to serve and call over `connected`, a Unix stream socket, which belongs to the link from now on. To be
        called once, after `serve`."""
        loop = asyncio.get_running_loop()
        self._closed = loop.create_future()
        await loop.create_unix_connection(lambda: self, sock=connected)

    @property
    def closed(self) -> bool:
        """Return whether there is no connection."""
        return self._transport is None

    async def wait_closed(self) -> None:
        """Return once the connection is gone."""
        if self._closed is not None:
            await asyncio.shield(self._closed)

    async def close(self) -> None:
        """Send what waits, and close. Handlers that still run are cancelled."""
        if self._transport is not None:
            self._flush()
            self._transport.close()
            try:
                async with asyncio.timeout(_CLOSE_S):
                    await self.wait_closed()
            except TimeoutError:
                self._transport.abort()
        await self.wait_closed()
        others = self._tasks - {asyncio.current_task()}  # a handler may close, too
        if others:
            await asyncio.wait(others)

    async def call(
        self, operation: Operation[T], *arguments: object, unclaimed: Callable[[T], None] | None = None
    ) -> T:
        """Return the result of `operation` at the peer. Raises StoreFault: the peer is gone, or what its handler
        raised; StoreRefusal when the arguments cannot be sent.

        Who is cancelled does not wait, the operation is done all the same: `unclaimed` then gets its result.
        """
        while self._paused or len(self._calls) >= MAX_CALLS:
            self._room.clear()
            await self._room.wait()
        number = self._last + 1
        self._send(number, operation.name, arguments)
        self._last = number
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._calls[number] = _Call(operation, answer, unclaimed)
        try:
            return await answer
        except asyncio.CancelledError:
            if unclaimed is not None and not answer.cancelled() and answer.exception() is None:
                unclaimed(answer.result())  # it came in the turn in which the caller left
            raise

    def notify(self, operation: Operation[Any], *arguments: object) -> None:
        """Let the peer do `operation`, after all that was called before. Raises StoreFault when the peer is gone or
        does not read; StoreRefusal when the arguments cannot be sent."""
        if len(self._out) > MAX_BACKLOG_BYTES:
            raise StoreFault(f"{self._peer} does not read")
        self._send(0, operation.name, arguments)

    def _send(self, number: int, name: str, value: object) -> None:
        if self._transport is None:
            raise StoreFault(f"{self._peer} is gone")
        out = self._out
        at = len(out)
        out += bytes(_HEAD_BYTES)
        try:
            _encode_into((number, name, value), out, -1)
            size = len(out) - at - _HEAD_BYTES
            if size > MAX_FRAME_BYTES:
                raise ValueError(f"{size} bytes are more than a frame may have")
        except (ValueError, OverflowError) as error:
            del out[at:]
            raise StoreRefusal(f"cannot be sent to {self._peer}: {error}") from error
        except BaseException:
            del out[at:]
            raise
        out[at : at + _HEAD_BYTES] = size.to_bytes(_HEAD_BYTES)
        if not self._flushes:
            self._flushes = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushes = False
        if self._out and self._transport is not None and not self._paused:
            out, self._out = self._out, bytearray()
            self._transport.write(out)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # that of uvloop has another base

    def connection_lost(self, error: Exception | None) -> None:
        assert self._closed is not None
        self._transport = None
        self._out, self._rest = bytearray(), bytearray()
        self._paused = False
        calls, self._calls = self._calls, {}
        for each in calls.values():
            each.fail(StoreFault(f"{self._peer} is gone"))
        for task in self._tasks:
            task.cancel()
        self._room.set()
        for callback in self._on_close:
            callback()
        self._closed.set_result(None)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._room.set()
        self._flush()

    def data_received(self, data: bytes) -> None:
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed_bytes:
                return
            data, self._rest = bytes(self._rest), bytearray()
        at, end, needed = 0, len(data), self._needed_bytes
        try:
            while end - at >= needed:
                if needed == _HEAD_BYTES:
                    needed += _size_bytes(data[at : at + _HEAD_BYTES])
                    continue
                frame = data[at + _HEAD_BYTES : at + needed]
                at, needed = at + needed, _HEAD_BYTES
                self._receive(*_decode(frame))
        except ValueError as error:  # msgspec's are
            log.error("%s sent something invalid, and the connection is closed: %s", self._peer, error)
            if self._transport is not None:
                self._transport.abort()
            return
        self._rest += data[at:]
        self._needed_bytes = needed

    def _receive(self, number: int, name: str, value: msgspec.Raw) -> None:
        if name in (_RESULT, _FAULT, _REFUSAL):
            self._end(number, name, value)
        else:
            self._do(number, name, value)

    def _end(self, number: int, name: str, value: msgspec.Raw) -> None:
        """End the call `number`."""
        call = self._calls.pop(number, None)
        if call is None:
            raise ValueError(f"an answer to call {number}, which was not made")
        if not self._room.is_set():
            self._room.set()
        try:
            if name == _RESULT:
                call.succeed(call.operation.read_result(value))
            else:
                call.fail((StoreFault if name == _FAULT else StoreRefusal)(_decode_text(value)))
        except ValueError as error:
            call.fail(StoreFault(f"{self._peer} answers {call.operation.name!r} with something else: {error}"))

    def _do(self, number: int, name: str, value: msgspec.Raw) -> None:
        """Do what the peer called."""
        operation, handler = self._handlers.get(name, (None, None))
        if operation is None or handler is None:
            self._answer(number, _FAULT, f"nothing serves {name!r}")
            return
        try:
            result = handler(*operation.read_arguments(value))
        except Exception as error:
            self._failed(number, name, error)
            return
        if inspect.iscoroutine(result):
            task = asyncio.get_running_loop().create_task(self._finish(number, name, result), name=f"serve {name}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif number:
            self._answer(number, _RESULT, result)

    async def _finish(self, number: int, name: str, running: Coroutine[Any, Any, object]) -> None:
        try:
            result = await running
        except Exception as error:
            self._failed(number, name, error)
        else:
            self._answer(number, _RESULT, result)

    def _failed(self, number: int, name: str, error: Exception) -> None:
        if isinstance(error, StoreFault):
            self._answer(number, _REFUSAL if isinstance(error, StoreRefusal) else _FAULT, str(error))
        else:
            log.error("%r, which %s called, failed", name, self._peer, exc_info=error)
            self._answer(
                number,
                _FAULT,
                f"{name!r} failed with {type(error).__name__}; the log of the parent process has the details",
            )

    def _answer(self, number: int, name: str, value: object) -> None:
        if not number or self._transport is None:
            return
        try:
            self._send(number, name, value)
        except StoreRefusal as refusal:
            self._send(number, _REFUSAL, str(refusal))


def _size_bytes(head: bytes) -> int:
    """Return how long a frame is. Raises ValueError."""
    size = int.from_bytes(head)
    if not 0 < size <= MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {size} bytes")
    return size
