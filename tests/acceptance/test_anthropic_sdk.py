"""The official Anthropic client, sync and async, works through the proxy as it does without it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import anthropic
import httpx2
import pytest
from anthropic.types import MessageParam, ToolParam
from anthropic.types.beta import BetaMessageParam

from tests.acceptance.conftest import CLAUDE_KEY
from tests.support import vendors
from tests.support.program import Program
from tests.support.provider import Upstream

HELLO: list[MessageParam] = [{"role": "user", "content": "Grüß Gott"}]
TOOLS: list[ToolParam] = [{"name": name, "input_schema": {"type": "object"}} for name in ("weather", "clock")]
MODEL = "claude-test"


@pytest.fixture(params=["", "/anthropic", "/claude"])
def everywhere(request: pytest.FixtureRequest, both: Program) -> Iterator[anthropic.Anthropic]:
    """Yield a client for each place where the Anthropic interface stands."""
    with anthropic.Anthropic(base_url=both.url + request.param, api_key="dummy", max_retries=0) as client:
        yield client


@pytest.fixture
def client(both: Program) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=both.url, api_key="dummy", max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(both: Program) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=both.url, api_key="dummy", max_retries=0) as client:
        yield client


@pytest.mark.ledger("H1")
@pytest.mark.ledger("H3")
def test_messages_plain_and_streamed(everywhere: anthropic.Anthropic, upstream: Upstream) -> None:
    plain = everywhere.messages.create(model=MODEL, max_tokens=99, messages=HELLO)
    assert [block.text for block in plain.content if block.type == "text"] == [vendors.TEXT]
    assert (plain.usage.output_tokens, plain.usage.cache_read_input_tokens) == (vendors.OUT, vendors.CACHED)
    with everywhere.messages.stream(model=MODEL, max_tokens=99, messages=HELLO) as stream:
        assert "".join(stream.text_stream) == vendors.TEXT
        assert stream.get_final_message().usage.output_tokens == vendors.OUT
    assert [request.target for request in upstream.requests] == [b"/v1/messages"] * 2
    assert upstream.last.value("x-api-key") == CLAUDE_KEY
    assert upstream.last.value("anthropic-version")
    assert b"dummy" not in upstream.last.head


@pytest.mark.ledger("H1")
def test_tokens_are_counted(everywhere: anthropic.Anthropic, upstream: Upstream) -> None:
    assert everywhere.messages.count_tokens(model=MODEL, messages=HELLO).input_tokens == vendors.IN
    assert upstream.only.target == b"/v1/messages/count_tokens"


def test_parallel_tool_use_arrives_whole(client: anthropic.Anthropic, upstream: Upstream) -> None:
    plain = client.messages.create(model=MODEL, max_tokens=99, messages=HELLO, tools=TOOLS)
    with client.messages.stream(model=MODEL, max_tokens=99, messages=HELLO, tools=TOOLS) as stream:
        streamed = stream.get_final_message()
    wanted = [
        ("call_a", "weather", {"city": "Łódź"}),
        ("call_b", "clock", {"zone": "UTC", "hours": 24}),
    ]
    for final in (plain, streamed):
        assert [(block.id, block.name, block.input) for block in final.content if block.type == "tool_use"] == wanted
        assert final.stop_reason == "tool_use"


async def test_the_async_client_plain_and_streamed(async_client: anthropic.AsyncAnthropic, upstream: Upstream) -> None:
    plain = await async_client.messages.create(model=MODEL, max_tokens=99, messages=HELLO)
    assert plain.stop_reason == "end_turn"
    async with async_client.messages.stream(model=MODEL, max_tokens=99, messages=HELLO, tools=TOOLS) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_message()
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop"
    assert [block.name for block in final.content if block.type == "tool_use"] == ["weather", "clock"]
    assert (await async_client.messages.count_tokens(model=MODEL, messages=HELLO)).input_tokens == vendors.IN


def test_beta_headers_reach_the_provider(client: anthropic.Anthropic, upstream: Upstream) -> None:
    hello: BetaMessageParam = {"role": "user", "content": "hi"}
    client.beta.messages.create(model=MODEL, max_tokens=9, messages=[hello], betas=["tools-2024", "context-1m"])
    assert upstream.only.value("anthropic-beta") == "tools-2024,context-1m"


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (400, "Bad Request", anthropic.BadRequestError),
        (404, "Not Found", anthropic.NotFoundError),
        (413, "Too Large", anthropic.RequestTooLargeError),
        (429, "Too Many Requests", anthropic.RateLimitError),
        (500, "Oops", anthropic.InternalServerError),
        (529, "Overloaded", anthropic.OverloadedError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_the_providers_errors_keep_status_headers_and_words(
    client: anthropic.Anthropic,
    upstream: Upstream,
    status: int,
    reason: str,
    kind: type[anthropic.APIStatusError],
    stream: bool,
) -> None:
    upstream.next(vendors.failure(status, reason, ("Retry-After", "17"), ("request-id", "req_011")))
    with pytest.raises(kind) as caught:
        client.messages.create(model=MODEL, max_tokens=9, messages=HELLO, stream=stream)
    assert caught.value.response.headers["retry-after"] == "17"
    assert caught.value.request_id == "req_011"
    assert f"vendor says {status}" in str(caught.value)


def test_errors_of_our_own_are_typed_for_the_client(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.messages.create(model="no-such-model", max_tokens=9, messages=HELLO)
    body = caught.value.body
    assert isinstance(body, dict) and body["type"] == "error" and body["error"]["type"] == "not_found_error"
    assert "no-such-model" in body["error"]["message"]


def test_signed_thinking_and_cache_marks_keep_every_byte(client: anthropic.Anthropic, upstream: Upstream) -> None:
    signed = b'{"model":"claude-x","max_tokens":9,"messages":[{"role":"assistant","content":[{"type":"thinking",' + (
        b'"thinking":"a\\u0062\\/c","signature":"Er+/="}]},{"role":"user","content":[{"cache_control" : '
        b'{"type":"ephemeral"},"type":"text","text":"\\ud83d\\ude42"}]}]}'
    )
    headers = {"x-api-key": "dummy", "content-type": "application/json"}
    answer = httpx2.post(client.base_url.join("/v1/messages"), content=signed, headers=headers)
    assert answer.status_code == 200
    assert upstream.only.body == signed


def test_what_the_client_sent_is_what_the_upstream_got(both: Program, upstream: Upstream) -> None:
    sent: list[httpx2.Request] = []
    http = httpx2.Client(event_hooks={"request": [sent.append]})
    with anthropic.Anthropic(base_url=both.url, api_key="dummy", http_client=http) as client:
        client.messages.create(model=MODEL, max_tokens=9, messages=HELLO, tools=TOOLS, extra_query={"x": "1 2"})
    got, request = upstream.only, sent[0]
    assert (got.body, got.target) == (request.content, request.url.raw_path)
    ours = {"host", "x-api-key", "authorization", "connection", "accept-encoding"}
    for name, value in request.headers.raw:
        if name.decode().lower() not in ours:
            assert value.decode() in got.values(name.decode()), name
