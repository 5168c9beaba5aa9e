"""What is read of a WebSocket while it passes."""

from __future__ import annotations

import zlib

import pytest

from llmproxy.dialects.socket_catalog import find_socket
from llmproxy.dialects.usage import Usage
from llmproxy.exchange import Exchange, MemoryBudget
from llmproxy.server.observer import UNCOUNTED_BYTES
from llmproxy.server.socket_observer import MESSAGE_BYTES, SocketObserver
from llmproxy.websocket_traffic import WebSocketTraffic
from tests.support.exchanges import new_call, new_exchange
from tests.support.socket_upstream import MASK, frame

LIVE = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
FRAME_BYTES = 64
DONE = b'{"type": "response.done", "response": {"usage": {"input_tokens": 5, "output_tokens": 7}}}'


def observed(
    path: str = "/v1/realtime", *, compressed: bool = False, sinks: bool = False
) -> tuple[SocketObserver, Exchange, WebSocketTraffic]:
    exchange = new_exchange(path, method="GET")
    exchange.endpoint = find_socket(path, None)
    exchange.calls.append(new_call(model=None))
    exchange.budget = MemoryBudget(1 << 30)
    traffic = exchange.websocket = WebSocketTraffic()
    if sinks:
        traffic.sinks.append(lambda sender, data: exchange.notes.update({f"{sender} {data.decode()}": True}))
    price = lambda usage, model: usage.output / 100  # noqa: E731
    return SocketObserver(exchange, traffic, price, compressed=compressed), exchange, traffic


def test_the_usage_of_all_answers_is_added_and_priced() -> None:
    observer, exchange, traffic = observed()
    observer.provider.feed(frame(1, b'{"type": "session.created", "session": {"model": "m"}}'))
    observer.provider.feed((frame(1, DONE[:20], final=False) + frame(0, DONE[20:])) * 2)
    observer.close()
    assert (exchange.summary.usage, exchange.summary.model) == (Usage(input=10, output=14), "m")
    assert (traffic.cost_usd, traffic.provider_frames) == (0.14, 5)


def test_compressed_events_are_read_with_those_before_them() -> None:
    observer, exchange, _ = observed(compressed=True)
    encoder = zlib.compressobj(9, zlib.DEFLATED, -15)
    for _ in range(2):
        data = (encoder.compress(DONE) + encoder.flush(zlib.Z_SYNC_FLUSH))[:-4]
        observer.provider.feed(frame(1, data, flags=0x40))
    assert exchange.summary.usage == Usage(input=10, output=14)


@pytest.mark.parametrize("data", [frame(1, b"\xff\xffplain", flags=0x40), frame(2, b"x" * (MESSAGE_BYTES + 1))])
def test_what_cannot_be_read_makes_the_usage_unknown(data: bytes) -> None:
    observer, exchange, traffic = observed(compressed=True)
    for each in (frame(1, DONE), data, frame(1, DONE)):
        observer.provider.feed(each)
    assert (exchange.summary.usage, traffic.cost_usd) == (None, None)
    observer.close()
    assert exchange.held_bytes == 0


def test_what_is_kept_of_a_message_is_counted_and_released() -> None:
    observer, exchange, _ = observed()
    observer.provider.feed(frame(1, b"x" * (UNCOUNTED_BYTES - FRAME_BYTES), final=False))
    assert exchange.held_bytes == 0
    observer.provider.feed(frame(0, b"x" * 100, final=False) + frame(0, b"y" * 100, final=False))
    assert exchange.held_bytes == 2 * (100 + FRAME_BYTES)
    observer.provider.feed(frame(0, b"."))
    assert exchange.held_bytes == 0


@pytest.mark.parametrize("payload", [b"", b"x"])
def test_a_message_in_endless_small_frames_is_not_kept(payload: bytes) -> None:
    observer, exchange, _ = observed()
    observer.provider.feed(frame(1, b"", final=False))
    for _ in range(20):
        observer.provider.feed(frame(0, payload, final=False) * 10_000)
        assert exchange.held_bytes <= MESSAGE_BYTES
    assert exchange.held_bytes == 0 and observer.provider.on_message is None and exchange.summary.usage is None


def test_the_first_message_of_the_client_names_the_model() -> None:
    observer, exchange, _ = observed(LIVE)
    observer.client.feed(frame(1, b'{"setup": {"model": "models/gemini-live"}}', key=MASK) * 2)
    assert exchange.model == exchange.calls[-1].model == "gemini-live"
    assert observer.client.on_message is None, "the rest is not read"


def test_sinks_get_the_text_of_both() -> None:
    observer, exchange, _ = observed(sinks=True)
    observer.client.feed(frame(1, b"asked", key=MASK) + frame(2, b"sound", key=MASK))
    observer.provider.feed(frame(1, b"answered"))
    assert list(exchange.notes) == ["client asked", "provider answered"]


def test_nothing_is_known_of_other_paths() -> None:
    observer, exchange, traffic = observed("/anything")
    observer.provider.feed(frame(1, DONE))
    observer.close()
    assert (exchange.summary.usage, traffic.cost_usd, traffic.provider_frames) == (None, None, 1)
