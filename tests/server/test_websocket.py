"""Handshakes of clients. What is answered to wrong ones: tests/acceptance/test_websockets.py."""

from __future__ import annotations

import pytest

from llmproxy.answer import Headers
from llmproxy.errors import ProxyError
from llmproxy.server.websocket import asks_for_socket, check_handshake
from tests.support.exchanges import new_exchange
from tests.support.socket_upstream import KEY


@pytest.mark.parametrize(
    ("method", "upgrade", "connection", "asks"),
    [
        ("GET", "websocket", "Upgrade", True),
        ("GET", "h2c, WebSocket", "keep-alive, upgrade", True),
        ("POST", "websocket", "Upgrade", False),
        ("GET", "websocket", "keep-alive", False),
        ("GET", "h2c", "Upgrade", False),
        ("GET", "websockets", "Upgrade", False),
    ],
)
def test_a_websocket_is_asked_for_by_both_headers(method: str, upgrade: str, connection: str, asks: bool) -> None:
    exchange = new_exchange("/v1/realtime", ("Upgrade", upgrade), ("Connection", connection), method=method)
    assert asks_for_socket(exchange) is asks


def test_a_right_handshake_and_wrong_ones() -> None:
    right = Headers([("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", KEY), ("Content-Length", "0")])
    check_handshake(right)
    for name, value, status in (("Sec-WebSocket-Version", "7", 426), ("Transfer-Encoding", "chunked", 400)):
        wrong = right.copy()
        wrong[name] = value
        with pytest.raises(ProxyError) as refused:
            check_handshake(wrong)
        assert refused.value.status == status
