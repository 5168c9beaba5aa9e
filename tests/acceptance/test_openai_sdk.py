"""The official OpenAI client, sync and async, works through the proxy as it does without it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Iterator

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from openai.types.responses import FunctionToolParam

from tests.acceptance.conftest import KEY
from tests.support import vendors
from tests.support.program import Program
from tests.support.provider import Reply, Upstream

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Grüß Gott, 你好"}]
CHAT_TOOLS: list[ChatCompletionToolParam] = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("weather", "clock")
]
TOOLS: list[FunctionToolParam] = [
    {"type": "function", "name": name, "parameters": {"type": "object"}, "strict": False}
    for name in ("weather", "clock")
]


@pytest.fixture(params=["/v1", "", "/openai", "/openai/v1", "/main", "/main/v1"])
def everywhere(request: pytest.FixtureRequest, both: Program) -> Iterator[openai.OpenAI]:
    """Yield a client for each place where the OpenAI interface stands."""
    with openai.OpenAI(base_url=both.url + request.param, api_key="dummy", max_retries=0) as client:
        yield client


@pytest.fixture
def client(both: Program) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{both.url}/v1", api_key="dummy", max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(relay: Program) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{relay.url}/v1", api_key="dummy", max_retries=0) as client:
        yield client


@pytest.mark.ledger("H1")
@pytest.mark.ledger("H3")
def test_chat_plain_and_streamed(everywhere: openai.OpenAI, upstream: Upstream) -> None:
    plain = everywhere.chat.completions.create(model="gpt-x", messages=HELLO)
    assert plain.choices[0].message.content == vendors.TEXT
    assert plain.usage and (plain.usage.prompt_tokens, plain.usage.completion_tokens) == (vendors.IN, vendors.OUT)
    options = {"include_usage": True}
    stream = everywhere.chat.completions.create(
        model="gpt-x", messages=HELLO, stream=True, extra_body={"stream_options": options}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == vendors.TEXT
    assert chunks[-1].usage and chunks[-1].usage.total_tokens == vendors.IN + vendors.OUT
    assert [request.target for request in upstream.requests] == [b"/v1/chat/completions"] * 2
    assert upstream.last.value("authorization") == f"Bearer {KEY}"


@pytest.mark.ledger("H3")
def test_every_call_of_the_openai_interface(everywhere: openai.OpenAI, upstream: Upstream) -> None:
    response = everywhere.responses.create(model="gpt-x", input="hi")
    assert response.output_text == vendors.TEXT
    with everywhere.responses.stream(model="gpt-x", input="hi") as events:
        assert events.get_final_response().output_text == vendors.TEXT
    completion = everywhere.completions.create(model="gpt-x", prompt="hi")
    assert completion.choices[0].text == vendors.TEXT
    streamed = everywhere.completions.create(model="gpt-x", prompt="hi", stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == vendors.TEXT
    assert everywhere.embeddings.create(model="text-x", input="hi").data[0].embedding == [0.25, -0.5, 1.0]
    assert {request.path for request in upstream.requests} == {"/v1/responses", "/v1/completions", "/v1/embeddings"}


def test_parallel_tool_calls_arrive_whole(client: openai.OpenAI, upstream: Upstream) -> None:
    plain = client.chat.completions.create(model="gpt-x", messages=HELLO, tools=CHAT_TOOLS).choices[0].message
    with client.chat.completions.stream(model="gpt-x", messages=HELLO, tools=CHAT_TOOLS) as stream:
        streamed = stream.get_final_completion().choices[0].message
    for calls in (plain.tool_calls, streamed.tool_calls):
        assert calls is not None
        said = [(call.id, call.function.name, call.function.arguments) for call in calls if call.type == "function"]
        assert said == list(vendors.TOOL_CALLS)


def test_parallel_function_calls_of_responses_arrive_whole(client: openai.OpenAI, upstream: Upstream) -> None:
    plain = client.responses.create(model="gpt-x", input="hi", tools=TOOLS)
    with client.responses.stream(model="gpt-x", input="hi", tools=TOOLS) as events:
        kinds = {event.type for event in events}
        streamed = events.get_final_response()
    assert "response.function_call_arguments.delta" in kinds
    for output in (plain.output, streamed.output):
        said = [(item.call_id, item.name, item.arguments) for item in output if item.type == "function_call"]
        assert said == list(vendors.TOOL_CALLS)


async def test_the_async_client_plain_and_streamed(async_client: openai.AsyncOpenAI, upstream: Upstream) -> None:
    plain = await async_client.chat.completions.create(model="gpt-x", messages=HELLO)
    assert plain.choices[0].message.content == vendors.TEXT
    text = ""
    async for chunk in await async_client.chat.completions.create(model="gpt-x", messages=HELLO, stream=True):
        text += chunk.choices[0].delta.content or ""
    assert text == vendors.TEXT
    async with async_client.responses.stream(model="gpt-x", input="hi", tools=TOOLS) as events:
        final = await events.get_final_response()
    assert [item.name for item in final.output if item.type == "function_call"] == ["weather", "clock"]


async def test_many_calls_at_once_are_not_mixed_up(async_client: openai.AsyncOpenAI, upstream: Upstream) -> None:
    async def call(number: int) -> str:
        model = f"gpt-{number}"
        raw = await async_client.chat.completions.with_raw_response.create(model=model, messages=HELLO)
        assert raw.parse().model == model
        return raw.headers["x-request-id"]

    request_ids = await asyncio.gather(*map(call, range(150)))
    assert len(set(request_ids)) == len(request_ids) == len(upstream.requests)


async def test_many_streams_at_once_are_not_mixed_up(async_client: openai.AsyncOpenAI, upstream: Upstream) -> None:
    async def call(number: int) -> set[str]:
        create = async_client.chat.completions.create
        return {chunk.model async for chunk in await create(model=f"gpt-{number}", messages=HELLO, stream=True)}

    assert await asyncio.gather(*map(call, range(100))) == [{f"gpt-{number}"} for number in range(100)]


async def test_the_async_client_with_raw_and_streaming_responses(
    async_client: openai.AsyncOpenAI, upstream: Upstream
) -> None:
    raw = await async_client.chat.completions.with_raw_response.create(model="gpt-x", messages=HELLO)
    assert raw.headers["openai-processing-ms"] == "7"
    assert raw.headers["x-request-id"] != raw.headers["x-upstream-request-id"] == "req_upstream"
    parsed = raw.parse()
    assert parsed.choices[0].message.content == vendors.TEXT
    create = async_client.chat.completions.with_streaming_response.create
    async with create(model="gpt-x", messages=HELLO, stream=True) as response:
        lines = [line async for line in response.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"


def test_models_are_listed_and_found(client: openai.OpenAI, relay: Program, upstream: Upstream) -> None:
    with openai.OpenAI(base_url=f"{relay.url}/v1", api_key="dummy", max_retries=0) as single:
        assert {"gpt-test", "text-embedding-test"} <= {model.id for model in single.models.list()}
    names = {model.id for model in client.models.list()}
    assert any(name.endswith("gpt-test") for name in names), names


def test_file_uploads_and_binary_answers_pass(client: openai.OpenAI, upstream: Upstream) -> None:
    payload = bytes(range(256)) * 40
    upstream.next(vendors.plain({"id": "file-1", "object": "file", "purpose": "batch", "bytes": 1, "created_at": 1}))
    client.files.create(file=("x.bin", payload), purpose="batch")
    assert payload in upstream.last.body
    speech = Reply(headers=(("Content-Type", "audio/mpeg"),), pieces=[payload], framing="chunked")
    upstream.next(speech)
    assert client.audio.speech.create(model="gpt-4o-mini-tts", voice="alloy", input="hi").content == payload


@pytest.mark.ledger("H1")
@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (400, "Bad Request", openai.BadRequestError),
        (401, "Unauthorized", openai.AuthenticationError),
        (403, "Forbidden", openai.PermissionDeniedError),
        (404, "Not Found", openai.NotFoundError),
        (409, "Conflict", openai.ConflictError),
        (422, "Unprocessable", openai.UnprocessableEntityError),
        (429, "Too Many Requests", openai.RateLimitError),
        (500, "Oops", openai.InternalServerError),
        (529, "Overloaded", openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_the_providers_errors_keep_status_headers_and_words(
    client: openai.OpenAI,
    upstream: Upstream,
    status: int,
    reason: str,
    kind: type[openai.APIStatusError],
    stream: bool,
) -> None:
    upstream.next(vendors.failure(status, reason, ("Retry-After", "17"), ("x-ratelimit-reset-requests", "1s")))
    with pytest.raises(kind) as caught:
        client.chat.completions.create(model="gpt-x", messages=HELLO, stream=stream)
    assert caught.value.status_code == status
    assert caught.value.response.headers["retry-after"] == "17"
    assert caught.value.response.headers["x-ratelimit-reset-requests"] == "1s"
    assert f"vendor says {status}" in caught.value.message
    assert len(upstream.requests) == 1, "a route with one target is tried once"


def test_errors_of_our_own_are_typed_for_the_client(client: openai.OpenAI, stub: Program) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="no-such-model", messages=HELLO)
    assert caught.value.body and "no-such-model" in caught.value.message
    assert caught.value.code


def test_what_the_client_sent_is_what_the_upstream_got(both: Program, upstream: Upstream) -> None:
    sent: list[httpx2.Request] = []
    spy: Callable[[httpx2.Request], None] = sent.append
    http = httpx2.Client(event_hooks={"request": [spy]})
    with openai.OpenAI(base_url=f"{both.url}/v1", api_key="dummy", organization="org", http_client=http) as client:
        client.chat.completions.create(
            model="gpt-x",
            messages=[{"role": "user", "content": "a\u2028b \U0001f642"}],
            tools=CHAT_TOOLS,
            temperature=0.30000000000000004,
            extra_headers={"X-Trace": base64.b64encode(b"t").decode()},
            extra_query={"api-version": "2024-10-21", "q": "a b&c"},
            extra_body={"vendor_only": {"z": [1.0, 1e20]}},
        )
    got, request = upstream.only, sent[0]
    assert got.body == request.content
    assert got.target == request.url.raw_path
    ours = {"host", "authorization", "connection", "accept-encoding"}
    for name, value in request.headers.raw:
        if name.decode().lower() not in ours:
            assert value.decode() in got.values(name.decode()), name
