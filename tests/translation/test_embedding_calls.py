from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.call import Call
from llmproxy.errors import BadRequest, ProxyError, UpstreamError
from llmproxy.exchange import Exchange, MemoryBudget
from llmproxy.providers.bedrock import Bedrock
from llmproxy.providers.gemini import Gemini
from llmproxy.providers.openai import OpenAI
from llmproxy.route import Route
from llmproxy.stores.memory import MemoryResponses
from llmproxy.target import Provider, Target
from llmproxy.translation.embedding_calls import AT_ONCE, EmbeddingCall, plan_embeddings
from llmproxy.translation.translator import Translator
from tests.support.exchanges import new_exchange
from tests.support.fake_embeddings import vector

GOOGLE = Gemini(Gemini.Config.model_validate({"name": "g", "type": "gemini", "api_key": "k"}))
IMITATOR = Gemini(
    Gemini.Config.model_validate(
        {"name": "g", "type": "gemini", "api_key": "k", "dialects": ["gemini", "embeddings"]},
    )
)
AWS = Bedrock(Bedrock.Config.model_validate({"name": "b", "type": "bedrock", "api_key": "k", "region": "us-east-1"}))
OPENAI = OpenAI(OpenAI.Config.model_validate({"name": "o", "type": "openai", "api_key": "k"}))


def plan(provider: Provider, model: str, body: object, path: str = "/v1/embeddings") -> EmbeddingCall | None:
    exchange, call = asked(provider, model, body, path)
    return plan_embeddings(exchange, call, MemoryBudget(1 << 30), strict=False)


def asked(provider: Provider, model: str, body: object, path: str, *, relay: bool = False) -> tuple[Exchange, Call]:
    exchange = new_exchange(path, body=body)
    target = Target(provider=provider, model=model)
    exchange.route = Route(name="e", targets=(target,), relay=relay)
    return exchange, Call(target=target, model=model)


def titan(count: int) -> EmbeddingCall:
    planned = plan(AWS, "amazon.titan-embed-text-v1", {"model": "e", "input": [str(each) for each in range(count)]})
    assert planned is not None
    return planned


def reply(value: object, status: int = 200) -> Answer:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Answer(status=status, headers=Headers(), body=body)


@pytest.mark.parametrize(
    ("provider", "model", "body", "path"),
    [
        (OPENAI, "e", {"model": "e", "input": [""]}, "/v1/embeddings"),
        (OPENAI, "e", {"model": "e", "input": ["a"] * 10_000}, "/v1/embeddings"),
        (IMITATOR, "gemini-embedding-001", {"model": "e", "input": ["a"] * 100}, "/v1/embeddings"),
        (GOOGLE, "gemini-embedding-001", {"content": {}}, "/v1beta/models/e:embedContent"),
        (AWS, "amazon.titan-embed-text-v1", {"inputText": ""}, "/model/e/invoke"),
        (OPENAI, "e", {"messages": []}, "/model/e/invoke"),
        (OPENAI, "e", {"instances": [{"prompt": "a cat"}]}, "/v1beta/models/e:predict"),
        (AWS, "anthropic.claude", {"model": "e", "input": "a"}, "/v1/embeddings"),
        (OPENAI, "e", {"model": "e", "messages": []}, "/v1/chat/completions"),
    ],
)
def test_what_the_target_takes_as_it_is_goes_as_it_came(
    provider: Provider, model: str, body: object, path: str
) -> None:
    assert plan(provider, model, body, path) is None


def test_the_log_says_into_which_form_a_request_is_translated() -> None:
    translator = Translator(MemoryResponses(1 << 20), MemoryBudget(1 << 20))
    for body, name in (({"model": "e", "input": "a"}, "titan"), ({"model": "e", "input": ""}, "titan")):
        exchange, call = asked(AWS, "amazon.titan-embed-text-v1", body, "/v1/embeddings")
        assert translator.dialect_for(exchange, call.target) == name
    exchange, call = asked(OPENAI, "e", {"model": "e", "input": "a"}, "/v1/embeddings")
    assert translator.dialect_for(exchange, call.target) is None


def test_below_a_prefix_everything_goes_as_it_came() -> None:
    exchange, call = asked(
        AWS, "amazon.titan-embed-text-v1", {"model": "e", "input": "a"}, "/v1/embeddings", relay=True
    )
    assert plan_embeddings(exchange, call, MemoryBudget(1), strict=False) is None


def test_more_than_an_imitation_takes_is_asked_in_its_own_form() -> None:
    planned = plan(IMITATOR, "gemini-embedding-001", {"model": "e", "input": ["a"] * 101})
    assert planned is not None and planned.provider.name == "gemini"


def test_strict_translation_refuses_what_would_be_dropped() -> None:
    body = {"model": "e", "input": "a", "user": "u"}
    exchange, call = asked(AWS, "amazon.titan-embed-text-v1", body, "/v1/embeddings")
    planned = plan_embeddings(exchange, call, MemoryBudget(1 << 30), strict=True)
    assert planned is not None

    async def never(sent: Exchange) -> Answer:
        raise AssertionError("nothing is sent")

    with pytest.raises(BadRequest, match="user cannot be carried"):
        asyncio.run(planned.answer(never))


async def test_answers_are_joined_in_the_order_of_the_inputs_however_they_come() -> None:
    running, most = 0, 0

    async def open_(sent: Exchange) -> Answer:
        nonlocal running, most
        running += 1
        most = max(most, running)
        text = sent.held.content["inputText"]
        for _ in range(40 - int(text)):  # the last ones are the first to answer
            await asyncio.sleep(0)
        running -= 1
        return reply({"embedding": vector(text), "inputTextTokenCount": 1})

    planned = titan(20)
    answer = await planned.answer(open_)
    body = json.loads(answer.body)
    assert [each["embedding"] for each in body["data"]] == [vector(str(each)) for each in range(20)]
    assert body["usage"] == {"prompt_tokens": 20, "total_tokens": 20}
    assert most == AT_ONCE
    summary = planned.call.summary
    assert summary is not None and summary.usage is not None and summary.usage.input == 20 and summary.complete


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"not json", "no embeddings that can be read"),
        ({"embedding": "AAAA"}, "no embeddings that can be read"),
        ({}, "no embeddings that can be read"),
        ([], "no embeddings that can be read"),
    ],
)
async def test_an_answer_without_vectors_is_a_502(value: Any, words: str) -> None:
    async def open_(sent: Exchange) -> Answer:
        return reply(value)

    with pytest.raises(ProxyError, match=words) as caught:
        await titan(3).answer(open_)
    assert caught.value.status == 502


async def test_fewer_vectors_than_inputs_are_a_502() -> None:
    async def open_(sent: Exchange) -> Answer:
        return reply({"embeddings": [{"values": [1.0]}]})

    planned = plan(GOOGLE, "gemini-embedding-001", {"model": "e", "input": ["a"] * 101})
    assert planned is not None
    with pytest.raises(ProxyError, match="answered 101 inputs with 2 vectors"):
        await planned.answer(open_)


async def test_the_first_error_ends_all_and_is_written_for_the_client() -> None:
    cancelled = 0

    async def open_(sent: Exchange) -> Answer:
        nonlocal cancelled
        if sent.held.content["inputText"] == "1":
            return reply({"message": "Too many"}, 429)
        try:
            await asyncio.Event().wait()
        finally:
            cancelled += 1
        raise AssertionError

    planned = titan(30)
    answer = await planned.answer(open_)
    assert (answer.status, json.loads(answer.body)["error"]["message"]) == (429, "Too many")
    assert AT_ONCE - 1 <= cancelled <= AT_ONCE, "all that ran, and no more were begun"
    assert planned.call.summary is not None and planned.call.summary.error == "Too many"


async def test_a_provider_that_cannot_be_reached_is_its_own_error() -> None:
    async def open_(sent: Exchange) -> Answer:
        raise UpstreamError("no route", code="connect_failed")

    with pytest.raises(UpstreamError, match="no route"):
        await titan(3).answer(open_)


async def test_a_count_that_is_missing_once_is_unknown() -> None:
    async def open_(sent: Exchange) -> Answer:
        text = sent.held.content["inputText"]
        return reply({"embedding": [1.0], **({"inputTextTokenCount": 1} if text == "0" else {})})

    answer = await titan(2).answer(open_)
    assert json.loads(answer.body)["usage"] == {"prompt_tokens": None, "total_tokens": None}
