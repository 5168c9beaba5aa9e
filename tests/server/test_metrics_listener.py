from __future__ import annotations

import logging
from urllib.parse import urlsplit

import aiohttp
import pytest

from llmproxy.server.metrics_listener import metrics_listener


async def render(accept: str) -> tuple[bytes, str]:
    return f"asked for {accept}".encode(), "text/plain; version=0.0.4"


async def test_metrics_are_written_as_the_reader_asks() -> None:
    async with metrics_listener("127.0.0.1", 0, render) as address, aiohttp.ClientSession() as session:
        assert address is not None
        async with session.get(address, headers={"Accept": "x/y"}) as answer:
            assert (await answer.text(), answer.headers["Content-Type"]) == (
                "asked for x/y",
                "text/plain; version=0.0.4",
            )


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/v1/models", {}, 404),
        ("POST", "/metrics", {}, 405),
        ("GET", "/metrics", {"Origin": "https://evil.example"}, 404),
        ("HEAD", "/metrics", {}, 200),
    ],
)
async def test_nothing_else_is_answered(method: str, path: str, headers: dict[str, str], status: int) -> None:
    async with metrics_listener("127.0.0.1", 0, render) as address, aiohttp.ClientSession() as session:
        url = (address or "").replace("/metrics", path)
        async with session.request(method, url, headers=headers) as answer:
            assert answer.status == status


async def test_a_port_in_use_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    async with metrics_listener("127.0.0.1", 0, render) as address:
        port = urlsplit(address or "").port
        with caplog.at_level(logging.WARNING):
            async with metrics_listener("127.0.0.1", port, render) as second:
                assert second is None
    assert "it is in use" in caplog.text


async def test_no_port_is_opened_where_none_is_set() -> None:
    async with metrics_listener("127.0.0.1", None, render) as address:
        assert address is None
