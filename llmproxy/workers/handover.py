"""Hand the connections of clients from the parent, which accepts them, to the workers, which serve them.

The parent alone listens, and passes each accepted socket (SCM_RIGHTS) to the worker with the fewest open connections,
so that connections spread evenly whoever opens them and whenever a worker began. A connection counts as the worker's
once the worker says so, before it reads a byte: what a worker has not taken when it dies goes to another one, and none
waits in the queue of a process that is gone, as happens with a socket per worker (SO_REUSEPORT). Begin reading at
`Acceptor`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import math
import socket
import ssl
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence

from llmproxy.server.tls import HANDSHAKE_S
from llmproxy.system_errors import explain_fault

log = logging.getLogger(__name__)

BACKLOG = 1024
MOST_UNTAKEN = 32
"""Connections that may wait for one worker."""
STALLED_S = 0.2
"""A worker that has taken none for so long, though one waits for it, gets no more: its event loop is blocked."""

_TAKEN, _CLOSED = b"+", b"-"
_BATCH = 64
_PAUSE_S = 0.2
_SCARCE = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_MISSING = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)  # such as ::1 where there is no IPv6
_CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


def listen(host: str, port: int) -> list[socket.socket]:
    """Return listening sockets for all addresses of `host`, on the same port. Raises OSError. Blocks."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    for family, kind, protocol, _, address in dict.fromkeys(found):
        try:
            bound = _bound(family, kind, protocol, (address[0], port, *address[2:]))
        except OSError as error:
            if error.errno in _MISSING:
                missing = error
                continue
            for each in sockets:
                each.close()
            raise
        sockets.append(bound)
        port = port or bound.getsockname()[1]
    if missing is not None and not sockets:
        raise missing
    return sockets


def _bound(family: int, kind: int, protocol: int, address: tuple[object, ...]) -> socket.socket:
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
        bound.listen(BACKLOG)
    except BaseException:
        bound.close()
        raise
    return bound


class Channel:
    """The parent's end of the way to one worker. `open` counts the connections that the worker has, or will have.

    `changed` is called after the worker has taken connections or closed some.
    """

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self.open = 0
        self.changed: Callable[[], None] = _nothing
        self._end = end
        self._untaken: deque[socket.socket] = deque()
        self._waits_since_s = math.inf
        asyncio.get_running_loop().add_reader(end.fileno(), self._read)

    @property
    def crowded(self) -> bool:
        """Return whether so many connections wait for the worker that it gets no more at once."""
        return len(self._untaken) >= MOST_UNTAKEN

    @property
    def stalled(self) -> bool:
        """Return whether the worker seems to be blocked."""
        return time.monotonic() - self._waits_since_s > STALLED_S

    def give(self, connection: socket.socket) -> bool:
        """Pass a connection; return False when the worker is gone."""
        if sys.platform == "win32":
            raise NotImplementedError("Windows has one worker")
        try:
            socket.send_fds(self._end, [_TAKEN], [connection.fileno()])
        except OSError:
            return False
        if not self._untaken:
            self._waits_since_s = time.monotonic()
        self._untaken.append(connection)
        self.open += 1
        return True

    def close(self) -> list[socket.socket]:
        """Close this end, and return the connections that the worker has not taken. It takes no more, or has ended:
        what it has said until then counts."""
        if self._end.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._end.fileno())
            while self._hear():
                pass
            self._end.close()
        left = list(self._untaken)
        self._untaken.clear()
        return left

    def _read(self) -> None:
        if self._hear() is False:  # the end of the process, of which its parent hears too
            asyncio.get_running_loop().remove_reader(self._end.fileno())
        else:
            self.changed()

    def _hear(self) -> bool | None:
        """Take note of what the worker says. Return False when it says no more, None when nothing is there now."""
        try:
            data = self._end.recv(4096)
        except BlockingIOError:
            return None
        except OSError:
            return False
        for _ in range(data.count(_TAKEN)):
            self._untaken.popleft().close()
            self._waits_since_s = time.monotonic() if self._untaken else math.inf
        self.open -= data.count(_CLOSED)
        return bool(data)


def _nothing() -> None:
    pass


class Acceptor:
    """Accepts connections at `listeners`, which belong to it, while there is a worker for them."""

    def __init__(self, listeners: Sequence[socket.socket]) -> None:
        self.listeners = listeners
        self._channels: list[Channel] = []
        self._homeless: deque[socket.socket] = deque()
        self._accepting = False
        self._closed = False
        for each in listeners:
            each.setblocking(False)

    def add(self, channel: Channel) -> None:
        """Give connections to one more worker."""
        channel.changed = self._go_on
        self._channels.append(channel)
        self._go_on()

    def remove(self, channel: Channel) -> None:
        """Give no more connections to a worker, and those that it has not taken to others."""
        if channel in self._channels:
            self._channels.remove(channel)
        self._homeless += channel.close()
        self._go_on()

    def close(self) -> None:
        """Accept nothing more."""
        self._closed = True
        self._stop()
        for each in (*self.listeners, *self._homeless):
            each.close()
        self._homeless.clear()

    def _go_on(self) -> None:
        """Give away what waits, and accept again where nothing does any more."""
        if self._closed:
            return
        while self._homeless:
            if not self._give(self._homeless[0]):
                return
            self._homeless.popleft()
        if not self._accepting and self._choose() is not None:
            self._accepting = True
            for each in self.listeners:
                asyncio.get_running_loop().add_reader(each.fileno(), self._accept, each)

    def _stop(self) -> None:
        if self._accepting:
            self._accepting = False
            for each in self.listeners:
                asyncio.get_running_loop().remove_reader(each.fileno())

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_BATCH):
            if self._choose() is None:
                return self._stop()
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                return self._pause(error)
            if not self._give(connection):
                self._homeless.append(connection)

    def _pause(self, error: OSError) -> None:
        """Wait a little where nothing can be accepted now: the queue would wake the loop at once."""
        self._stop()
        asyncio.get_running_loop().call_later(_PAUSE_S, self._go_on)
        if error.errno in _SCARCE:
            log.error("no connection can be accepted: %s", explain_fault(error))
        else:
            log.error("no connection can be accepted", exc_info=error)

    def _give(self, connection: socket.socket) -> bool:
        """Pass a connection to the worker with the fewest; return False when there is none for it."""
        while (channel := self._choose()) is not None:
            if channel.give(connection):
                # Of those that have equally many the next one is another.
                self._channels.remove(channel)
                self._channels.append(channel)
                return True
            self._channels.remove(channel)
        return False

    def _choose(self) -> Channel | None:
        """Return the worker that gets the next connection; None while none can have one, or the one whose turn it is
        has just got many: others get what would be its own when it is stalled, not a moment earlier."""
        channel = min((each for each in self._channels if not each.stalled), key=_open, default=None)
        if channel is None or not channel.crowded:
            return channel
        asyncio.get_running_loop().call_later(STALLED_S, self._go_on)
        return None


def _open(channel: Channel) -> int:
    return channel.open


class Taker:
    """The worker's end: takes connections, and serves them with the protocols that `factory` makes, over TLS with a
    `context`. Who makes these calls `closed` for each connection that is lost.
    """

    def __init__(
        self, end: socket.socket, factory: Callable[[], asyncio.BaseProtocol], context: ssl.SSLContext | None
    ) -> None:
        end.setblocking(False)
        self._end = end
        self._factory = factory
        self._context = context
        self._connecting: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to take connections."""
        asyncio.get_running_loop().add_reader(self._end.fileno(), self._take)

    def stop(self) -> None:
        """Take no more: what was not taken goes to other workers."""
        asyncio.get_running_loop().remove_reader(self._end.fileno())

    def closed(self) -> None:
        """Tell the parent that a connection is closed."""
        self._say(_CLOSED)

    def _take(self) -> None:
        if sys.platform == "win32":
            raise NotImplementedError("Windows has one worker")
        for _ in range(MOST_UNTAKEN):
            try:
                data, descriptors, _, _ = socket.recv_fds(self._end, 1, 1, _CLOSE_ON_EXEC)
            except BlockingIOError:
                return
            except OSError:
                data, descriptors = b"", []
            if not data:
                return self.stop()  # the parent is gone
            self._say(_TAKEN)
            if not descriptors:  # no descriptor is free in this process: the connection was closed on its way
                self.closed()
            for each in descriptors:
                self._serve(socket.socket(fileno=each))

    def _serve(self, connection: socket.socket) -> None:
        connection.set_inheritable(False)
        connection.setblocking(False)
        task = asyncio.get_running_loop().create_task(self._connect(connection))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            if self._context is None:
                await loop.connect_accepted_socket(self._factory, connection)
            else:
                await loop.connect_accepted_socket(
                    self._factory, connection, ssl=self._context, ssl_handshake_timeout=HANDSHAKE_S
                )
        except OSError as error:  # it is gone already, or it does not speak TLS
            log.debug("a connection ended before its first request: %s", error)
            connection.close()
            self.closed()

    def _say(self, word: bytes) -> None:
        with contextlib.suppress(OSError):  # the parent is gone, or counts later
            self._end.send(word)
