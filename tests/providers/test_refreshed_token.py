"""A credential that expires: who waits for a new one, and what a failure does."""

from __future__ import annotations

import asyncio

import pytest

from llmproxy.errors import ProxyError, UpstreamError
from llmproxy.providers.refreshed_token import AHEAD_S, RefreshedToken, Token


class Source:
    """Gives numbered tokens of an hour, or fails; `gate` holds it back."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.fetched = 0
        self.fault: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self) -> Token:
        self.fetched += 1
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        return Token(text=f"t{self.fetched}", ends_s=self.now_s + 3600)

    def token(self) -> RefreshedToken:
        return RefreshedToken("azure", self.fetch, clock=lambda: self.now_s)


async def test_one_fetch_serves_all_who_wait() -> None:
    source = Source()
    token = source.token()
    source.gate.clear()
    waiting = [asyncio.ensure_future(token.ready()) for _ in range(5)]  # noqa: TID251
    await asyncio.sleep(0)
    source.gate.set()
    await asyncio.gather(*waiting)
    await token.ready()
    assert (source.fetched, token.text) == (1, "t1")


async def test_it_is_refreshed_before_it_ends_and_nobody_else_waits() -> None:
    source = Source()
    token = source.token()
    await token.ready()
    source.now_s += 3600 - AHEAD_S + 1
    source.gate.clear()
    first = asyncio.ensure_future(token.ready())  # noqa: TID251
    await asyncio.sleep(0)
    await token.ready()
    assert (source.fetched, token.text) == (2, "t1")
    source.gate.set()
    await first
    assert token.text == "t2"


async def test_a_failure_matters_only_when_the_old_one_has_ended(caplog: pytest.LogCaptureFixture) -> None:
    source = Source()
    token = source.token()
    await token.ready()
    source.now_s += 3600 - 100
    source.fault = UpstreamError("the tenant is unknown")
    for _ in range(3):
        await token.ready()
    assert (source.fetched, token.text) == (2, "t1") and "the tenant is unknown" in caplog.text
    source.now_s += 101
    with pytest.raises(ProxyError, match="the tenant is unknown"):
        await token.ready()


async def test_any_failure_names_the_provider() -> None:
    source = Source()
    source.fault = ValueError("broken")
    with pytest.raises(ProxyError, match=r"No credential for the provider 'azure': broken") as raised:
        await source.token().ready()
    assert raised.value.status == 502


async def test_a_token_without_end_is_fetched_once_until_it_is_forgotten() -> None:
    source = Source()

    async def fetch() -> Token:
        return Token(text=(await source.fetch()).text, ends_s=None)

    token = RefreshedToken("azure", fetch, clock=lambda: source.now_s)
    await token.ready()
    source.now_s += 10**9
    await token.ready()
    assert source.fetched == 1
    token.forget()
    await token.ready()
    assert source.fetched == 2
