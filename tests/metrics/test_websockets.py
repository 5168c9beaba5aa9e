"""Counters of WebSockets."""

from __future__ import annotations

from llmproxy.metrics.websockets import WebSocketCounters
from llmproxy.websocket_traffic import WebSocketTraffic


def test_the_traffic_of_closed_websockets_adds_up() -> None:
    counters = WebSocketCounters(open=1)
    for _ in range(2):
        counters.add(WebSocketTraffic(client_frames=1, client_bytes=10, provider_frames=2, provider_bytes=20))
    assert counters == WebSocketCounters(open=1, client_frames=2, client_bytes=20, provider_frames=4, provider_bytes=40)
