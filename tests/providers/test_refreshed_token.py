"""A credential that expires: who waits for a new one, and what a failure does."""

from __future__ import annotations

import asyncio

import pytest

from llmproxy.errors import ProxyError, UpstreamError
from llmproxy.providers.refreshed_token import AHEAD_S, RefreshedToken, Token
from llmproxy.providers.sigv4 import Keys


class Source:
    """Gives numbered tokens of an hour, or fails; `gate` holds it back."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.fetched = 0
        self.fault: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.life_s = 3600.0

    async def fetch(self) -> Token:
        self.fetched += 1
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        return Token(text=f"t{self.fetched}", ends_s=self.now_s + self.life_s)

    async def settle(self) -> None:
        """Let a fetch beside the calls end."""
        for _ in range(5):
            await asyncio.sleep(0)

    def token(self) -> RefreshedToken[Token]:
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


async def test_it_is_refreshed_before_it_ends_and_nobody_waits() -> None:
    source = Source()
    token = source.token()
    await token.ready()
    source.now_s += 3600 - AHEAD_S + 1
    source.gate.clear()
    for _ in range(3):
        await token.ready()
        await source.settle()
    assert (source.fetched, token.text) == (2, "t1")
    source.gate.set()
    await source.settle()
    assert token.text == "t2"


async def test_a_failure_matters_only_when_the_old_one_has_ended(caplog: pytest.LogCaptureFixture) -> None:
    source = Source()
    token = source.token()
    await token.ready()
    source.now_s += 3600 - 100
    source.fault = UpstreamError("the tenant is unknown")
    for _ in range(3):
        await token.ready()
        await source.settle()
    assert (source.fetched, token.text) == (2, "t1") and "the tenant is unknown" in caplog.text
    source.now_s += 101
    with pytest.raises(ProxyError, match="the tenant is unknown"):
        await token.ready()


async def test_those_who_waited_for_a_fetch_that_failed_do_not_wait_for_their_own() -> None:
    source = Source()
    token = source.token()
    source.fault = UpstreamError("nobody answers")
    source.gate.clear()
    waiting = [asyncio.ensure_future(token.ready()) for _ in range(5)]  # noqa: TID251
    await asyncio.sleep(0)
    source.gate.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert source.fetched == 1 and [str(each) for each in outcomes] == ["nobody answers"] * 5
    source.fault = None
    await token.ready()
    assert (source.fetched, token.text) == (2, "t2")


async def test_a_token_that_has_ended_at_once_serves_those_who_waited() -> None:
    source = Source()
    source.life_s = -5
    token = source.token()
    await asyncio.gather(*(token.ready() for _ in range(5)))
    assert (source.fetched, token.text) == (1, "t1")


async def test_who_leaves_while_it_is_fetched_leaves_it_to_the_others() -> None:
    source = Source()
    token = source.token()
    source.gate.clear()
    leaving, waiting = (asyncio.ensure_future(token.ready()) for _ in range(2))  # noqa: TID251
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.sleep(0)
    source.gate.set()
    await waiting
    assert leaving.cancelled() and (source.fetched, token.text) == (1, "t1")


async def test_a_fetch_that_is_under_way_ends_with_its_owner() -> None:
    source = Source()
    token = source.token()
    source.gate.clear()
    waiting = asyncio.ensure_future(token.ready())  # noqa: TID251
    await asyncio.sleep(0)
    await token.close()
    await token.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_source_that_gives_the_same_token_until_its_end_is_not_asked_by_every_call() -> None:
    source = Source()
    source.life_s = 200
    token = source.token()
    waiting = [asyncio.ensure_future(token.ready()) for _ in range(5)]  # noqa: TID251
    await asyncio.gather(*waiting)
    await token.ready()
    assert source.fetched == 1
    source.now_s += 11
    for _ in range(3):
        await token.ready()
        await source.settle()
    assert source.fetched == 2


async def test_any_failure_names_the_provider() -> None:
    source = Source()
    source.fault = ValueError("cannot parse <Secret>x</Secret>")
    with pytest.raises(ProxyError, match=r"for the provider 'azure': its source failed \(ValueError\)$") as raised:
        await source.token().ready()
    assert raised.value.status == 502


async def test_a_source_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmproxy.providers.refreshed_token._LIMIT_S", 0.01)
    source = Source()
    source.gate.clear()
    with pytest.raises(ProxyError, match=r"'azure': its source took longer than 0.01 s"):
        await source.token().ready()


@pytest.mark.parametrize(
    "made",
    [
        *(Token(text=text, ends_s=None) for text in ("a\r\nb", "\xe9", "x" * 100_000)),
        Keys(text="AKID", secret="s", session="a\nb", ends_s=None),
    ],
)
async def test_what_no_header_can_carry_is_no_token(made: Token) -> None:
    async def fetch() -> Token:
        return made

    token = RefreshedToken("azure", fetch)
    with pytest.raises(ProxyError, match="of the provider 'azure' is too long, or not plain text"):
        await token.ready()
    assert token.token is None


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


async def test_a_refused_token_is_replaced_but_not_one_after_another() -> None:
    source = Source()
    token = source.token()
    await token.ready()
    for _ in range(3):
        token.forget()
        await token.ready()
        assert (source.fetched, token.text) == (2, "t2")
    source.now_s += 11
    token.forget()
    await token.ready()
    assert (source.fetched, token.text) == (3, "t3")
