"""Join the two connections of a WebSocket, so that bytes pass from one to the other as they come.

Both transports get a protocol of this module: a read of one side is a write to the other, with no task between. Who
reads slowly holds up the other side, through the transports' own limits. Begin reading at `SpliceEnd.data_received`,
then `Splice.run`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from llmproxy.answer import Answer, Upgraded
from llmproxy.dialects.usage import Usage
from llmproxy.errors import BrokenStream
from llmproxy.exchange import Exchange
from llmproxy.pricing.prices import Prices
from llmproxy.server.client_connection import ClientConnection
from llmproxy.server.socket_observer import SocketObserver
from llmproxy.websocket_traffic import Sender, WebSocketTraffic
from llmproxy.wire.websocket import GOING_AWAY, WebSocketWatch, close_frame
from llmproxy.wire.websocket_inflate import compresses

HALF_OPEN_S = 5.0
"""How long one side may take to close after the other is gone."""

QUIET_S = 1.0
"""When the server stops, a WebSocket is closed as soon as nothing has passed for this long."""

CUT_S = 1.0


class SpliceEnd(asyncio.Protocol):
    """One side of a splice: reads from its own transport and writes to that of its `peer`.

    `closing` says that our own Close frame went out on it, after which nothing may follow; `ended` that its side sends
    no more, `lost` that its transport is gone.
    """

    __slots__ = ("_splice", "closing", "due", "ended", "lost", "peer", "side", "size_bytes", "transport", "watch")

    peer: SpliceEnd

    def __init__(self, splice: Splice, side: Sender, watch: WebSocketWatch) -> None:
        self._splice = splice
        self.side = side
        self.watch = watch
        self.transport: asyncio.Transport | None = None
        self.closing = self.due = self.ended = self.lost = False
        self.size_bytes = 0

    def attach(self, taken: tuple[asyncio.Transport | None, bytes]) -> bytes:
        """Take the transport, and return what has come already."""
        self.transport, tail = taken
        if self.transport is None:
            self.lost = self.ended = True
        return tail

    # -- from this side to the other

    def data_received(self, data: bytes) -> None:
        self._splice.heard()
        self.size_bytes += len(data)
        peer = self.peer
        if peer.due:
            data = self._up_to_frame(data)
        if not peer.closing and peer.transport is not None:
            peer.transport.write(data)
        self.watch.feed(data)
        if self.watch.close_code is not None:
            self._splice.note_close(self)
        if peer.due and self.watch.between_frames:
            peer.send_close()
        if self.closing and self.watch.close_code is not None:
            self.end()

    def _up_to_frame(self, data: bytes) -> bytes:
        """Return the rest of the frame under way, behind which a Close frame is due; where that is known."""
        left = self.watch.left_bytes
        return data[:left] if left else data

    def eof_received(self) -> bool:
        """Pass the end on. Return whether the other direction stays open: TLS has no such thing."""
        self._splice.note_end(self)
        self.ended = True
        self.peer.finish()
        open_ = self.transport is not None and self.transport.can_write_eof() and not self.peer.ended
        self._splice.close_within(HALF_OPEN_S)
        return open_

    def connection_lost(self, exc: BaseException | None) -> None:
        self._splice.note_end(self)
        self.ended = self.lost = True
        self.transport = None
        self._read_from_peer(pause=False)  # else its end would not be seen
        self.peer.finish()
        self._splice.lost(self, exc)

    # -- to this side

    def pause_writing(self) -> None:
        self._read_from_peer(pause=True)

    def resume_writing(self) -> None:
        self._read_from_peer(pause=False)

    def _read_from_peer(self, *, pause: bool) -> None:
        transport = self.peer.transport
        if transport is not None and not transport.is_closing():
            with contextlib.suppress(RuntimeError):  # closed by the peer in this moment
                (transport.pause_reading if pause else transport.resume_reading)()

    def finish(self) -> None:
        """Send what is written and then the end, as the other side will send no more."""
        transport = self.transport
        self.closing = True
        if transport is None or transport.is_closing():
            return
        if self.ended or not transport.can_write_eof():
            transport.close()
        else:
            with contextlib.suppress(RuntimeError, OSError):
                transport.write_eof()

    def request_close(self) -> None:
        """Send a Close frame, as soon as the frame under way to this side is whole."""
        if self.closing or self.transport is None:
            return
        if self.peer.watch.between_frames:
            self.send_close()
        else:
            self.due = True

    def send_close(self) -> None:
        """Send a Close frame, and close when its answer comes, or has come before."""
        self.due, self.closing = False, True
        if self.peer.watch.close_code is None and self.transport is not None:
            self.transport.write(close_frame(GOING_AWAY, masked=self.side == "provider"))
        if self.watch.close_code is not None or self.ended:
            self.end()

    def end(self) -> None:
        """Close this side, after what is written to it."""
        if self.transport is not None:
            self.transport.close()


def splice(
    exchange: Exchange, answer: Answer, traffic: WebSocketTraffic, prices: Prices, idle_s: float | None
) -> Splice:
    """Return the splice for a handshake that a provider accepted with `answer`."""
    call = exchange.calls[-1]

    def price(usage: Usage, answered: str | None) -> float | None:
        return prices.cost(call.target, call.model, usage, answered)

    compressed = compresses(", ".join(answer.headers.getall("Sec-WebSocket-Extensions", ())))
    observer = SocketObserver(exchange, traffic, price, compressed=compressed)
    return Splice(exchange, traffic, observer, idle_s)


class Splice:
    """One WebSocket between a client and a provider, until both sides are closed."""

    def __init__(
        self,
        exchange: Exchange,
        traffic: WebSocketTraffic,
        observer: SocketObserver,
        idle_s: float | None,
    ) -> None:
        self._exchange = exchange
        self._traffic = traffic
        self._observer = observer
        self._idle_s = idle_s
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        self._closes = False
        self._heard_s = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._on_lost: dict[Sender, Callable[[BaseException | None], None]] = {}
        self._client = SpliceEnd(self, "client", observer.client)
        self._provider = SpliceEnd(self, "provider", observer.provider)
        self._client.peer, self._provider.peer = self._provider, self._client

    async def run(self, client: ClientConnection, provider: Upgraded) -> None:
        """Pass bytes until both sides are closed."""
        self._on_lost = {"client": client.connection_lost, "provider": lambda _: provider.release()}
        early = self._client.attach(client.take_over(self._client))
        late = self._provider.attach(provider.take_over(self._provider))
        if self._idle_s is not None:
            self._timer = self._loop.call_later(self._idle_s, self._check_idle)
        for end, tail in ((self._client, early), (self._provider, late)):
            if tail:
                end.data_received(tail)
            if end.lost:
                end.connection_lost(None)
        await self._over.wait()

    def heard(self) -> None:
        """Take note that something came."""
        self._heard_s = self._loop.time()

    # -- the end

    def note_end(self, end: SpliceEnd) -> None:
        """Take note of the side that ends first, and of how the exchange went."""
        traffic, exchange = self._traffic, self._exchange
        if exchange.outcome:
            return
        if traffic.close_code is not None:
            exchange.outcome = "complete"
            return
        traffic.closed_by = end.side
        if end is self._client:
            exchange.outcome = "cancelled"
        else:
            exchange.outcome = "broken"
            exchange.error = BrokenStream("The provider ended a WebSocket without a Close frame")

    def note_close(self, end: SpliceEnd) -> None:
        """Take note of the side whose Close frame was the first."""
        if self._traffic.closed_by is None:
            self._traffic.closed_by, self._traffic.close_code = end.side, end.watch.close_code

    def lost(self, end: SpliceEnd, exc: BaseException | None) -> None:
        """Take note that a side is gone."""
        if on_lost := self._on_lost.pop(end.side, None):
            on_lost(exc)
        if self._on_lost:
            self.close_within(HALF_OPEN_S)
            return
        self._over.set()
        for timer in (self._timer, self._linger):
            if timer is not None:
                timer.cancel()

    def finish(self) -> None:
        """Count what has passed; called when the exchange ends."""
        traffic = self._traffic
        traffic.client_bytes, traffic.provider_bytes = self._client.size_bytes, self._provider.size_bytes
        self._exchange.sent_bytes = traffic.provider_bytes
        self._observer.close()

    def close(self, within_s: float = CUT_S) -> None:
        """Close both sides with 1001 (going away), and without their answers after `within_s` seconds; called again,
        at once."""
        if self._closes:
            self._abort()
            return
        self._closes = True
        if self._traffic.closed_by is None:
            self._traffic.closed_by, self._traffic.close_code = "proxy", GOING_AWAY
        self._client.request_close()
        self._provider.request_close()
        self.close_within(within_s)

    def drain(self) -> None:
        """Close both sides as soon as nothing has passed for a while: the server stops."""
        rest_s = self._heard_s + QUIET_S - self._loop.time()
        if rest_s <= 0 and not self._closes:
            self.close(CUT_S)
        elif self._on_lost:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_later(rest_s, self.drain)

    def close_within(self, seconds: float) -> None:
        """Abort what is not closed after so many seconds."""
        if self._linger is None and self._on_lost:
            self._linger = self._loop.call_later(seconds, self._abort)

    def _abort(self) -> None:
        for end in (self._client, self._provider):
            if end.transport is not None:
                end.transport.abort()

    def _check_idle(self) -> None:
        assert self._idle_s is not None
        rest_s = self._heard_s + self._idle_s - self._loop.time()
        if rest_s > 0:
            self._timer = self._loop.call_later(rest_s, self._check_idle)
        else:
            self.close(HALF_OPEN_S)
