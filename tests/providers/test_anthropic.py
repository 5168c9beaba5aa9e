from __future__ import annotations

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.providers.anthropic import Anthropic
from llmproxy.target import Target
from tests.support.exchanges import new_exchange
from tests.support.pieces import Pieces


def claude(**keys: str) -> Anthropic:
    return Anthropic(Anthropic.Config.model_validate({"name": "claude", "type": "anthropic", **keys}))


def test_anthropic_gets_its_key_and_the_version_that_it_requires() -> None:
    provider = claude(api_key="sk")
    request = provider.prepare(
        new_exchange("/v1/messages", ("Authorization", "Bearer dummy")), Target(provider=provider)
    )
    assert (request.origin.host, request.target) == ("api.anthropic.com", "/v1/messages")
    assert dict(request.headers) == {
        "x-api-key": "sk",
        "anthropic-version": "2023-06-01",
        "Accept-Encoding": "identity",
    }


def test_the_clients_version_and_betas_go_on() -> None:
    provider = claude()
    sent = ("Anthropic-Version", "2099-01-01"), ("anthropic-beta", "a"), ("anthropic-beta", "b")
    got = provider.prepare(new_exchange("/v1/messages", *sent), Target(provider=provider)).headers
    assert got.getall("anthropic-version") == ["2099-01-01"] and got.getall("anthropic-beta") == ["a", "b"]


@pytest.mark.parametrize("base_url", ["https://h/anthropic", "https://h/anthropic/", "https://h/anthropic/v1"])
def test_a_base_url_as_its_sdks_take_it_reaches_the_messages_api(base_url: str) -> None:
    provider = claude(base_url=base_url)
    for path in ("/v1/messages", "/messages"):
        assert provider.prepare(new_exchange(path), Target(provider=provider)).target == "/anthropic/v1/messages"


def test_all_models_are_asked_for_at_once() -> None:
    assert claude(api_key="sk").list_models(None).target == "/v1/models?limit=1000"
    assert claude().models == () and claude().patterns == ("claude-*",)


@pytest.mark.parametrize("length", [None, 74])
async def test_the_results_of_a_batch_are_at_the_proxy(length: int | None) -> None:
    provider = claude(api_key="sk")
    exchange = new_exchange("/v1/messages/batches/b", ("Host", "proxy:3000"), method="GET")
    adapt = provider.prepare(exchange, Target(provider=provider)).adapt
    assert adapt is not None
    pieces = Pieces(b'{"results_url": "https://api.anth', b'ropic.com/v1/messages/batches/b/results"}')
    answer = await adapt(Answer(status=200, headers=Headers(), stream=pieces, length=length))
    assert answer.body == b'{"results_url": "http://proxy:3000/claude/v1/messages/batches/b/results"}'
    assert answer.length == (None if length is None else len(answer.body)) and answer.stream is None
    failed = await adapt(Answer(status=404, headers=Headers(), stream=(rest := Pieces(b"x"))))
    assert failed.stream is rest


def test_the_results_themselves_go_as_they_came() -> None:
    provider = claude(api_key="sk")
    exchange = new_exchange("/v1/messages/batches/b/results", method="GET")
    assert provider.prepare(exchange, Target(provider=provider)).adapt is None
