from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from llmproxy.body import iterate
from llmproxy.errors import BadRequest, ProxyError
from llmproxy.providers.base import ProviderConfig
from llmproxy.providers.completion import CompletionProvider
from llmproxy.target import Provider, Target
from tests.support.exchanges import new_exchange

HELLO = {"model": "asked", "messages": [{"role": "user", "content": "hi"}]}
CALLS = [
    {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
    {"id": "b", "function": {"name": "g", "arguments": "{}"}},
]


class Mine(CompletionProvider):
    """Gives what the test says, and remembers what it was asked."""

    class Config(CompletionProvider.Config):
        greeting: str = "Hello"

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.asked: dict[str, Any] = {}
        self.given: Any = {"choices": [{"message": {"content": config.greeting}}]}

    async def create_completion(self, request: dict[str, Any]) -> dict[str, Any]:
        self.asked = request
        if isinstance(self.given, BaseException):
            raise self.given
        value: dict[str, Any] = self.given
        return value


def mine(given: object = None, **keys: Any) -> Mine:
    provider = Mine(Mine.Config.model_validate({"name": "mine", "type": "./mine.py:Mine", **keys}))
    provider.given = provider.given if given is None else given
    return provider


async def plain(provider: Provider, body: object = HELLO, model: str | None = None) -> Any:
    exchange = new_exchange(body=body)
    target = Target(provider=provider, model=model)
    assert provider.prepare(exchange, target) is None
    answer = await provider.answer(exchange, target)
    assert (answer.status, answer.stream, answer.length) == (200, None, len(answer.body))
    return json.loads(answer.body)


async def chunks(provider: Mine, **more: object) -> list[Any]:
    answer = await provider.answer(new_exchange(body=HELLO | {"stream": True} | more), Target(provider=provider))
    assert answer.framing and answer.stream is not None
    frames = [frame async for frame in iterate(answer.stream)]
    assert frames[-1] == b"data: [DONE]\n\n"
    return [json.loads(frame.removeprefix(b"data: ")) for frame in frames[:-1]]


async def test_one_method_makes_a_provider() -> None:
    provider = mine(greeting="Moin")
    completion = ChatCompletion.model_validate(await plain(provider), strict=True)
    assert provider.asked == HELLO
    assert (completion.id, completion.created, completion.model) == ("chatcmpl-0123", 1_700_000_000, "asked")
    assert completion.choices[0].message.content == "Moin" and completion.choices[0].finish_reason == "stop"
    assert completion.usage is None, "unknown is not guessed"
    assert provider.speaks == {"chat"} and provider.sole_catch_all


async def test_what_is_given_is_kept() -> None:
    value = {
        "id": "own",
        "created": 7,
        "model": "other",
        "system_fingerprint": "fp",
        "choices": [
            {"index": 3, "message": {"role": "assistant", "content": "x", "odd": [1]}, "finish_reason": "length"}
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }
    reply = await plain(mine(value))
    assert {key: reply[key] for key in value if key != "choices"} == {
        key: value[key] for key in value if key != "choices"
    }
    assert reply["choices"] == [{"logprobs": None, **value["choices"][0]}]  # type: ignore[index]  # the list above


async def test_the_model_is_called_as_the_target_calls_it() -> None:
    provider = mine()
    assert (await plain(provider, model="inner"))["model"] == "inner" == provider.asked["model"]


async def test_a_stream_is_made_of_the_same_dict() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    provider = mine({"choices": [{"message": {"content": "Hi"}}], "usage": usage})
    got = await chunks(provider, stream_options={"include_usage": True})
    for chunk in got:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    assert [chunk["choices"][0]["delta"] for chunk in got[:-1]] == [
        {"role": "assistant", "content": ""},
        {"content": "Hi"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in got[:-1]] == [None, None, "stop"]
    assert (got[-1]["choices"], got[-1]["usage"]) == ([], usage)
    assert len({chunk["id"] for chunk in got}) == 1
    assert not any("usage" in chunk for chunk in await chunks(provider)), "nobody asked for usage"


async def test_tool_calls_and_other_members_are_streamed_whole() -> None:
    message = {"tool_calls": CALLS, "reasoning_content": "hm"}
    provider = mine({"choices": [{"message": message}, {"message": {"content": "second"}}]})
    got = await chunks(provider)
    for chunk in got:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    first = [chunk["choices"][0] for chunk in got if chunk["choices"][0]["index"] == 0]
    assert [choice["delta"] for choice in first] == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "hm"},
        {"tool_calls": [{"index": 0, **CALLS[0]}]},
        {"tool_calls": [{"index": 1, "type": "function", **CALLS[1]}]},
        {},
    ]
    assert first[-1]["finish_reason"] == "tool_calls"
    assert [chunk["choices"][0]["delta"].get("content") for chunk in got if chunk["choices"][0]["index"] == 1] == [
        "",
        "second",
        None,
    ]


async def test_a_proxy_error_reaches_the_client_as_it_is() -> None:
    refusal = ProxyError("Too warm", status=418, code="teapot")
    with pytest.raises(ProxyError) as refused:
        await plain(mine(refusal))
    assert refused.value is refusal


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (RuntimeError("sk-hush"), "RuntimeError"),
        (asyncio.CancelledError(), "CancelledError"),
        ([], "list"),
        ({"choices": "x"}, "choices"),
        ({"choices": [{}]}, "choices"),
        ({"choices": [{"message": "text"}]}, "choices"),
        ({}, "choices"),
        ({"choices": [{"message": {"content": {1, 2} and object()}}]}, "JSON"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_any_other_failure_is_a_502_that_names_the_class_and_no_secret(
    value: object, words: str, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    provider = mine(value)
    with caplog.at_level(logging.CRITICAL), pytest.raises(ProxyError) as failed:
        await provider.answer(new_exchange(body=HELLO | {"stream": stream}), Target(provider=provider))
    error = failed.value
    assert (error.status, error.code, error.retryable) == (502, "provider_failed", True)
    assert "Mine" in error.message and "'mine'" in error.message and words in error.message
    assert "hush" not in error.message


async def test_the_traceback_of_a_failure_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ProxyError):
        await plain(mine(ValueError("inside")))
    [record] = caplog.records
    assert record.exc_info is not None and "inside" in str(record.exc_info[1]) and "mine" in record.getMessage()


async def test_a_client_that_leaves_cancels_the_completion() -> None:
    began, ended = asyncio.Event(), []

    class Slow(Mine):
        async def create_completion(self, request: dict[str, Any]) -> dict[str, Any]:
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)
            raise AssertionError

    provider = Slow(Slow.Config(name="slow", type="own"))
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(plain(provider))
        await began.wait()
        task.cancel()
    assert ended == [True] and task.cancelled()


@pytest.mark.parametrize("body", [b"no json", [1], "text"])
async def test_a_body_that_is_no_object_is_a_400(body: object) -> None:
    with pytest.raises(BadRequest) as refused:
        await plain(mine(), body)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/files"), ("POST", "/what/ever"), ("POST", "/v1/completions")]
)
async def test_everything_but_chat_is_a_404(method: str, path: str) -> None:
    provider = mine()
    with pytest.raises(BadRequest) as refused:
        await provider.answer(new_exchange(path, method=method, body=HELLO), Target(provider=provider))
    assert refused.value.status == 404 and "mine" in refused.value.message


def test_settings_of_its_own_are_strict() -> None:
    assert mine(greeting="x").config.greeting == "x"
    with pytest.raises(ValueError, match="greetin"):
        mine(greetin="x")
    assert issubclass(Mine.Config, ProviderConfig)
