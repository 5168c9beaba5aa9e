"""Handshakes of providers. What happens to clients: tests/server/test_splice.py."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.http_exceptions import HttpProcessingError

from llmproxy.answer import Headers
from llmproxy.target import Origin, UpstreamRequest
from llmproxy.upstream.upgraded import check_upgrade
from tests.support.socket_upstream import KEY

ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(
    ("accept", "upgrade", "fault"),
    [
        (ACCEPT, "WebSocket", ""),
        ("c3RvbGVu", "websocket", "accepts another key"),
        (None, "websocket", "accepts another key"),
        (ACCEPT, "h2c", "another protocol"),
    ],
)
def test_a_101_answers_the_handshake(accept: str | None, upgrade: str, fault: str) -> None:
    request = UpstreamRequest(
        origin=Origin(scheme="http", host="a", port=80),
        method="GET",
        target="/",
        headers=Headers({"Sec-WebSocket-Key": KEY}),
        body=None,
    )
    headers = Headers({"Upgrade": upgrade, **({} if accept is None else {"Sec-WebSocket-Accept": accept})})
    message: Any = SimpleNamespace(headers=headers)
    if not fault:
        check_upgrade(request, message)
        return
    with pytest.raises(HttpProcessingError, match=fault):
        check_upgrade(request, message)
