"""Responses and reasoning that several programs share through one store, and what happens while it is gone."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.acceptance.test_responses_state import said
from tests.support import vendors
from tests.support.program import Program
from tests.support.provider import Call, Upstream
from tests.support.redis_server import RedisServer
from tests.support.vendors import TEXT

THINKING = {"type": "thinking", "thinking": "Let me look.", "signature": "EuY+/="}
USE = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
TOOL: Any = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


@contextlib.contextmanager
def program(directory: Path, upstream: Upstream, store: str) -> Iterator[Program]:
    """Yield one of several programs with the same default store before the same provider."""
    directory.mkdir(exist_ok=True)
    config = f"""
providers:
  - {{name: on-chat, type: openai-compatible, base_url: "{upstream.url}/v1", dialects: [chat]}}
  - {{name: on-messages, type: anthropic, base_url: "{upstream.url}", api_key: sk-ant-up}}
stores: {{default: {json.dumps(store)}}}
"""
    with Program(directory, config=config) as started:
        yield started


def client(program: Program) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{program.url}/v1", api_key="dummy", max_retries=0)


@pytest.fixture(params=["disk", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "disk":
        yield f"disk:{tmp_path / 'store.sqlite'}"
        return
    if sys.platform == "win32":
        pytest.skip("there is no Redis server for Windows")
    with RedisServer(tmp_path) as server:
        yield server.url


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_a_response_of_one_program_is_continued_by_another(
    tmp_path: Path, upstream: Upstream, store: str, stream: bool
) -> None:
    with (
        program(tmp_path / "one", upstream, store) as one,
        program(tmp_path / "two", upstream, store) as two,
        client(one) as first,
        client(two) as second,
    ):
        if stream:
            with first.responses.stream(model="on-chat/m", input="one") as events:
                response: Any = events.until_done().get_final_response()
        else:
            response = first.responses.create(model="on-chat/m", input="one")
        assert second.responses.retrieve(response.id).output_text == TEXT
        second.responses.create(model="on-messages/m", input="two", previous_response_id=response.id)
        assert said(upstream) == [("user", "one"), ("assistant", TEXT), ("user", "two")]

        conversation = first.conversations.create()
        for each in (first, second):
            each.responses.create(model="on-chat/m", input="hi", conversation=conversation.id)
        assert len(second.conversations.items.list(conversation.id).data) == 4
        second.responses.delete(response.id)
        with pytest.raises(openai.NotFoundError):
            first.responses.retrieve(response.id)


async def think(call: Call) -> None:
    """Send an answer that thinks and calls a tool; plain words once the tool's result is there."""
    asked = json.loads(call.request.body)
    done = "tool_result" in json.dumps(asked["messages"])
    answer = vendors.message("m") | ({} if done else {"content": [THINKING, USE], "stop_reason": "tool_use"})
    await call.give(vendors.plain(answer))


def test_reasoning_that_one_program_kept_is_put_back_by_another(tmp_path: Path, store: str) -> None:
    with (
        Upstream(think) as upstream,
        program(tmp_path / "one", upstream, store) as one,
        program(tmp_path / "two", upstream, store) as two,
        client(one) as first,
        client(two) as second,
    ):
        messages: Any = [{"role": "user", "content": "Hi"}]
        kwargs: Any = {"model": "on-messages/m", "tools": [TOOL], "reasoning_effort": "high"}
        answer = first.chat.completions.create(messages=messages, **kwargs).choices[0].message
        assert answer.tool_calls and answer.tool_calls[0].id == "toolu_1"
        call = answer.model_dump(include={"role", "content", "tool_calls"})
        messages += [call, {"role": "tool", "tool_call_id": "toolu_1", "content": "42"}]
        assert second.chat.completions.create(messages=messages, **kwargs).choices[0].message.content
        sent = json.loads(upstream.requests[-1].body)["messages"][1]["content"]
        assert sent[0] == THINKING and sent[1]["id"] == "toolu_1"


@pytest.mark.parametrize("model", ["on-chat/m", "on-messages/m"])
def test_conversations_stay_apart_though_the_provider_repeats_its_ids(
    tmp_path: Path, upstream: Upstream, model: str
) -> None:
    with program(tmp_path / "one", upstream, "memory") as one, client(one) as user:
        first = user.responses.create(model=model, input="one")
        second = user.responses.create(model=model, input="uno")
        assert first.id != second.id and first.output[0].id != second.output[0].id
        for begun, words in ((first, "one"), (second, "uno")):
            user.responses.create(model=model, input="more", previous_response_id=begun.id, store=False)
            assert said(upstream) == [("user", words), ("assistant", TEXT), ("user", "more")]
            reference: Any = [{"type": "item_reference", "id": begun.output[0].id}]
            user.responses.create(model=model, input=[*reference, {"role": "user", "content": "more"}], store=False)
            assert said(upstream) == [("assistant", TEXT), ("user", "more")]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no Redis server for Windows")
def test_while_the_store_is_gone_only_what_needs_it_fails(tmp_path: Path, upstream: Upstream) -> None:
    with (
        RedisServer(tmp_path) as redis,
        program(tmp_path / "one", upstream, redis.url) as one,
        client(one) as user,
    ):
        first = user.responses.create(model="on-chat/m", input="one")
        redis.kill()
        assert user.responses.create(model="on-chat/m", input="one").output_text == TEXT
        call: Any = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        messages: Any = [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "42"},
        ]
        answer = user.chat.completions.create(model="on-messages/m", messages=messages)
        assert answer.choices[0].message.content == TEXT
        for ask in (
            lambda: user.responses.create(model="on-chat/m", input="two", previous_response_id=first.id),
            lambda: user.responses.retrieve(first.id),
            lambda: user.conversations.create(),
        ):
            with pytest.raises(openai.InternalServerError, match="does not answer") as refused:
                ask()
            assert (refused.value.status_code, refused.value.code) == (503, "store_unavailable")
