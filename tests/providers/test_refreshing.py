"""Providers whose credentials end: when they are looked for, and what a client's own is good for."""

from __future__ import annotations

import logging

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.errors import UpstreamError
from llmproxy.providers.azure import Azure
from llmproxy.providers.refreshed_token import RefreshedToken, Token
from llmproxy.target import Target, UpstreamRequest
from tests.support.exchanges import new_exchange

REFUSED = Answer(status=401, headers=Headers())


class Source:
    """Gives the tokens of a list, the last one again and again; without any it fails."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.asked = 0

    async def fetch(self) -> Token:
        self.asked += 1
        if not self.tokens:
            raise UpstreamError("No token: tried everything", code="no_credential")
        text = self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]
        return Token(text=text, ends_s=None)


def provider(source: Source, **keys: object) -> Azure:
    base = {"name": "azure", "type": "azure", "base_url": "https://r.openai.azure.com", "entra": True}
    made = Azure(Azure.Config.model_validate({**base, **keys}))
    made._token = RefreshedToken("azure", source.fetch)
    return made


def prepared(azure: Azure, *headers: tuple[str, str]) -> UpstreamRequest:
    exchange = new_exchange("/v1/chat/completions", *headers, body={"model": "d"})
    return azure.prepare(exchange, Target(provider=azure))


async def renewed(request: UpstreamRequest) -> bool:
    assert request.renew is not None
    return await request.renew(REFUSED)


async def test_what_is_secret_in_the_address_stays_secret_beside_a_token() -> None:
    azure = provider(Source("token"), base_url="https://gateway.example/?sig=hidden")
    await azure.ready()
    assert azure.secrets == ("token", "hidden")


async def test_a_refused_token_is_replaced_for_all_that_used_it() -> None:
    source = Source("first", "second")
    azure = provider(source)
    await azure.ready()
    one, other = prepared(azure), prepared(azure)
    assert await renewed(one) and await renewed(other)
    assert source.asked == 2 and azure.secrets == ("second", "first")
    assert prepared(azure).headers["Authorization"] == "Bearer second"


async def test_a_source_that_has_no_other_token_is_not_asked_again_at_once() -> None:
    source = Source("only")
    azure = provider(source)
    await azure.ready()
    request = prepared(azure)
    assert [await renewed(request) for _ in range(3)] == [False, False, False]
    assert source.asked == 2


async def test_a_key_is_never_renewed() -> None:
    keyed = Azure(
        Azure.Config.model_validate({"name": "a", "type": "azure", "base_url": "https://r.azure.com", "api_key": "k"})
    )
    assert prepared(keyed).renew is None


async def test_a_missing_credential_is_logged_at_the_start_and_not_searched_for_by_each_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = Source()
    azure = provider(source)
    await azure.start()
    assert azure._warming is not None
    await azure._warming
    await azure.ready()
    await azure.close()
    assert source.asked == 1 and "provider 'azure': No token: tried everything" in caplog.text
    with pytest.raises(UpstreamError, match="tried everything"):
        prepared(azure, ("api-key", "placeholder"))


async def test_a_client_that_may_bring_a_key_needs_no_token(caplog: pytest.LogCaptureFixture) -> None:
    azure = provider(Source(), auth="passthrough")
    with caplog.at_level(logging.WARNING):
        await azure._warm()
    assert not caplog.records
    for header in ("api-key", "x-api-key", "x-goog-api-key"):
        headers = prepared(azure, (header, "mine")).headers
        assert headers["api-key"] == "mine" and len([name for name in headers if name.endswith("key")]) == 1
    token = prepared(azure, ("Authorization", "Bearer eyJ"), ("x-api-key", "k")).headers
    assert token["Authorization"] == "Bearer eyJ" and token["x-api-key"] == "k"
