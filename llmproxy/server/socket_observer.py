"""Watch a WebSocket while it passes: frames and their codes, the usage that events of the provider report, its model.

It never changes or delays anything. Messages are read only where their beginning may matter: of the client the first
one, of the provider those that fit into memory; with sinks for frames, all of text. Begin reading at `SocketObserver`.
"""

from __future__ import annotations

from collections.abc import Callable

from llmproxy.dialects.socket_calls import add_usage
from llmproxy.dialects.usage import Usage
from llmproxy.errors import Overloaded
from llmproxy.exchange import Exchange
from llmproxy.server.observer import UNCOUNTED_BYTES
from llmproxy.websocket_traffic import Sender, WebSocketTraffic
from llmproxy.wire.websocket import TEXT, WebSocketWatch
from llmproxy.wire.websocket_inflate import Inflater

MESSAGE_BYTES = 8 * 1024 * 1024
_FRAME_BYTES = 64  # what a frame takes beside its payload, of which it may have none


PriceAnswer = Callable[[Usage, str | None], float | None]
"""Returns what an answer with this usage costs in USD, by the model that it names."""


class SocketObserver:
    """Sees both directions of one WebSocket. `compressed` says that messages may be; `price` prices each answer."""

    def __init__(self, exchange: Exchange, traffic: WebSocketTraffic, price: PriceAnswer, *, compressed: bool) -> None:
        self._exchange = exchange
        self._traffic = traffic
        self._price = price
        self._calls = None if exchange.endpoint is None else exchange.endpoint.socket
        self._inflaters: dict[Sender, Inflater | None] = {}
        self._compressed = compressed
        self._size_bytes: dict[Sender, int] = {"client": 0, "provider": 0}
        self._held_bytes: dict[Sender, int] = {"client": 0, "provider": 0}
        self._awaits_first = self._calls is not None and self._calls.first_model is not None
        reads_client = self._awaits_first or bool(traffic.sinks)
        reads_provider = self._calls is not None or bool(traffic.sinks)
        self.client = self._watch("client", reads=reads_client)
        self.provider = self._watch("provider", reads=reads_provider)
        if self._calls is None:
            traffic.cost_usd = None

    def close(self) -> None:
        """Put the counts into the traffic, and forget what is held."""
        traffic = self._traffic
        traffic.client_frames, traffic.provider_frames = self.client.frames, self.provider.frames
        for side in self._held_bytes:
            self._release(side)
        self.client.on_message = self.provider.on_message = None

    def _watch(self, side: Sender, *, reads: bool) -> WebSocketWatch:
        masked = side == "client"
        if not reads:
            return WebSocketWatch(masked=masked)
        return WebSocketWatch(
            masked=masked,
            on_message=lambda opcode, parts, compressed: self._message(side, opcode, parts, compressed),
            has_room=lambda size_bytes: self._has_room(side, size_bytes),
        )

    def _has_room(self, side: Sender, size_bytes: int) -> bool:
        """Return whether a frame with so many more bytes of a message can be kept; what is not kept is not read."""
        size_bytes += _FRAME_BYTES
        self._size_bytes[side] += size_bytes
        if self._size_bytes[side] <= UNCOUNTED_BYTES:
            return True
        try:
            if self._size_bytes[side] > MESSAGE_BYTES:
                raise Overloaded("A message is too long to be read")
            self._exchange.hold(size_bytes)
        except Overloaded:
            self._miss(side)
            return False
        self._held_bytes[side] += size_bytes
        return True

    def _release(self, side: Sender) -> None:
        self._size_bytes[side] = 0
        if self._held_bytes[side]:
            self._exchange.release(self._held_bytes[side])
            self._held_bytes[side] = 0

    def _miss(self, side: Sender) -> None:
        """Take note that a message cannot be read, nor those after it that are compressed with it."""
        self._release(side)
        if self._compressed:
            self._inflaters[side] = None
        if side == "provider":
            self._lose_usage()
        elif not self._traffic.sinks:
            self._stop_client()

    def _message(self, side: Sender, opcode: int, parts: list[bytes], compressed: bool) -> None:
        data = self._inflated(side, parts) if compressed else parts[0] if len(parts) == 1 else b"".join(parts)
        if data is not None:
            if side == "provider":
                self._read_event(data)
            elif self._awaits_first:
                self._read_first(data)
            if opcode == TEXT:
                for sink in self._traffic.sinks:
                    sink(side, data)
        self._release(side)

    def _inflated(self, side: Sender, parts: list[bytes]) -> bytes | None:
        if side not in self._inflaters:
            self._inflaters[side] = Inflater(MESSAGE_BYTES) if self._compressed else None
        inflater = self._inflaters[side]
        data = None if inflater is None else inflater.message(parts)
        if data is None:
            self._miss(side)
        return data

    def _read_first(self, data: bytes) -> None:
        """Take the model from the first message of the client, where the path has named none."""
        self._awaits_first = False
        exchange = self._exchange
        model = None if self._calls is None else self._calls.read_first(data)
        if model is not None and exchange.model is None:
            exchange.model = exchange.calls[-1].model = model[:200]
        if not self._traffic.sinks:
            self._stop_client()

    def _stop_client(self) -> None:
        self._awaits_first = False
        self.client.on_message = None

    def _read_event(self, data: bytes) -> None:
        facts = None if self._calls is None else self._calls.read_event(data)
        if facts is None:
            return
        summary, traffic = self._exchange.summary, self._traffic
        summary.model = facts.model or summary.model
        if facts.usage is None:
            return
        summary.usage = add_usage(summary.usage, facts.usage)
        cost = self._price(facts.usage, facts.model or summary.model)
        traffic.cost_usd = None if cost is None or traffic.cost_usd is None else traffic.cost_usd + cost

    def _lose_usage(self) -> None:
        """Make the usage unknown, as a part of it may have been in what was not read."""
        self._exchange.summary.usage = None
        self._traffic.cost_usd = None
        self._calls = None
        if not self._traffic.sinks:
            self.provider.on_message = None
