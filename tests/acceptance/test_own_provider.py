"""A provider of one's own: one class in one file, plain and streamed, and a middleware from an installed package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.support.program import Program
from tests.support.waiting import until

CHAT = "/v1/chat/completions"
PROVIDER = """
import asyncio

from llmproxy.errors import ProxyError
from llmproxy.providers.base import ProviderConfig
from llmproxy.providers.completion import CompletionProvider


class Parrot(CompletionProvider):
    class Config(ProviderConfig):
        volume: int = 1

    async def create_completion(self, request):
        said = request["messages"][-1]["content"]
        if said == "refuse":
            raise ProxyError("the parrot sleeps", status=429, code="asleep", headers=(("Retry-After", "8"),))
        if said == "crash":
            raise KeyError("inner secret")
        if said == "nonsense":
            return ["no", "dict"]
        if said == "hang":
            try:
                await asyncio.sleep(3600)
            finally:
                print("the parrot was let go", flush=True)
        message = {"role": "assistant", "content": said * self.config.volume}
        if request.get("tools"):
            call = {"name": "weather", "arguments": "{\\"city\\": \\"Köln\\"}"}
            message = {"content": None, "tool_calls": [{"id": "c1", "type": "function", "function": call}]}
        usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
        return {"choices": [{"message": message}], "usage": usage}
"""
MIDDLEWARE = """
from llmproxy.middleware.base import Middleware


class Sign(Middleware):
    async def on_response(self, exchange, answer):
        answer.headers["x-sign"] = "yes"
"""


@pytest.fixture(scope="module")
def parrot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    home = tmp_path_factory.mktemp("parrot")
    (home / "parrot.py").write_text(PROVIDER, encoding="utf-8")
    config = """
providers:
  - {name: bird, type: "./parrot.py:Parrot", volume: 2, models: ["parrot-*"]}
  - {name: other, type: stub}
"""
    with Program(home, "serve", config=config) as program:
        program.expect_tracebacks("parrot.py")
        yield program


@pytest.fixture
def client(parrot: Program) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{parrot.url}/v1", api_key="k", max_retries=0) as client:
        yield client


def _say(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


@pytest.mark.ledger("P3")
def test_one_class_in_one_file_answers_plain_and_streamed(client: openai.OpenAI, parrot: Program) -> None:
    plain = client.chat.completions.create(model="parrot-1", messages=_say("hé "))
    assert plain.choices[0].message.content == "hé hé "
    assert plain.usage and plain.usage.total_tokens == 7
    stream = client.chat.completions.create(
        model="parrot-1", messages=_say("ho "), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "ho ho "
    assert chunks[-1].usage and chunks[-1].usage.total_tokens == 7
    assert parrot.metric("llmproxy_tokens_total", provider="bird", type="output") == 8


@pytest.mark.ledger("P3")
def test_its_tool_calls_arrive_plain_and_streamed(client: openai.OpenAI) -> None:
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
    plain = client.chat.completions.create(model="bird/parrot-1", messages=_say("x"), extra_body={"tools": [tool]})
    with client.chat.completions.stream(model="parrot-1", messages=_say("x"), extra_body={"tools": [tool]}) as stream:
        streamed = stream.get_final_completion()
    for message in (plain.choices[0].message, streamed.choices[0].message):
        assert message.tool_calls and message.tool_calls[0].type == "function"
        assert message.tool_calls[0].function.arguments == '{"city": "Köln"}'


@pytest.mark.ledger("P3")
@pytest.mark.parametrize("stream", [False, True])
def test_its_failures_are_the_clients_to_read(client: openai.OpenAI, parrot: Program, stream: bool) -> None:
    with pytest.raises(openai.RateLimitError) as asleep:
        client.chat.completions.create(model="parrot-1", messages=_say("refuse"), stream=stream)
    assert asleep.value.response.headers["retry-after"] == "8"
    for said in ("crash", "nonsense"):
        with pytest.raises(openai.InternalServerError) as failed:
            client.chat.completions.create(model="parrot-1", messages=_say(said), stream=stream)
        assert "inner secret" not in failed.value.message and "bird" in failed.value.message
    until(lambda: "inner secret" in parrot.err, "the log to tell")


@pytest.mark.ledger("P3")
def test_it_is_cancelled_when_the_client_leaves(parrot: Program) -> None:
    with parrot.client() as client:
        client.post(CHAT, {"model": "parrot-1", "messages": [{"role": "user", "content": "hang"}]})
        until(lambda: parrot.metric("llmproxy_in_flight_requests") >= 2, "the call to run")
        client.reset()
    until(lambda: "let go" in parrot.out, "the call to be cancelled")


@pytest.mark.ledger("P3")
@pytest.mark.ledger("M1")
def test_packages_announce_providers_and_middlewares_by_entry_points(tmp_path: Path) -> None:
    package = tmp_path / "site"
    (package / "birds-1.0.dist-info").mkdir(parents=True)
    (package / "birds.py").write_text(PROVIDER + MIDDLEWARE, encoding="utf-8")
    (package / "birds-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: birds\nVersion: 1.0\n")
    (package / "birds-1.0.dist-info" / "entry_points.txt").write_text(
        "[llmproxy.providers]\nparrot = birds:Parrot\n\n[llmproxy.middlewares]\nsign = birds:Sign\n"
    )
    config = "providers: [{name: bird, type: parrot}]\nmiddlewares: [{type: sign}]\n"
    with Program(tmp_path, "serve", config=config, search=package) as program:
        answer = program.post(CHAT, {"model": "any", "messages": [{"role": "user", "content": "hi"}]})
    assert answer.json["choices"][0]["message"]["content"] == "hi"
    assert answer.value("x-sign") == "yes"
