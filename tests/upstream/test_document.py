"""Small documents over HTTP: from a server, and from one that aioresponses stands for."""

from __future__ import annotations

import asyncio
from functools import partial
from unittest.mock import Mock

import pytest
from aiohttp import ClientConnectionError, ClientResponse, web
from aioresponses import aioresponses

from llmproxy.errors import UpstreamError
from llmproxy.upstream.document import fetch_document

URL = "https://login.example.com/jwks"
# aiohttp 3.14 wants a writer that aioresponses does not know.
Answer = partial(ClientResponse, stream_writer=Mock())


async def test_the_body_of_an_answer_is_returned() -> None:
    with aioresponses() as server:
        server.get(URL, body=b'{"keys": []}', response_class=Answer)
        assert await fetch_document(URL) == b'{"keys": []}'


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"status": 500}, "status 500"),
        ({"status": 302, "headers": {"Location": "https://evil.example"}}, "status 302"),
        ({"exception": TimeoutError()}, "no answer in time"),
        ({"exception": ClientConnectionError("refused")}, "refused"),
    ],
)
async def test_everything_else_is_an_error(answer: dict[str, object], reason: str) -> None:
    with aioresponses() as server:
        server.get(URL, response_class=Answer, **answer)
        with pytest.raises(UpstreamError, match=reason):
            await fetch_document(URL)


async def test_an_address_where_nobody_listens_is_named_with_the_reason() -> None:
    with pytest.raises(UpstreamError, match=r"^cannot connect to 127\.0\.0\.1:1: [^<]*$"):
        await fetch_document("https://127.0.0.1:1/jwks")


async def test_a_real_server_is_asked_and_a_slow_one_given_up() -> None:
    never = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/slow":
            await never.wait()
        if request.path == "/huge":
            return web.Response(body=b"x" * (1024 * 1024 + 1))
        return web.Response(body=b"here " + request.headers["Accept"].encode())

    application = web.Application()
    application.router.add_get("/{path}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        assert await fetch_document(f"{url}/jwks") == b"here application/json"
        with pytest.raises(UpstreamError, match="more than 1024 KB"):
            await fetch_document(f"{url}/huge")
        with pytest.raises(UpstreamError):
            await fetch_document(f"{url}/slow", timeout_s=0.05)
    finally:
        never.set()
        await runner.cleanup()
    with pytest.raises(UpstreamError):
        await fetch_document(url)
