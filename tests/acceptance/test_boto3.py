"""boto3, unmodified and with dummy credentials, as a client of the program; and Converse as a provider's dialect."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from botocore.exceptions import ClientError, EventStreamError

from tests.support import vendors
from tests.support.converse_types import gather
from tests.support.event_messages import messages_of
from tests.support.program import Program
from tests.support.provider import Reply, Upstream
from tests.support.sdk_conversations import ASKERS, PNG, SdkConversation, bedrock
from tests.support.vendors import IN, OUT, TEXT, TOOL_CALLS

MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
ARN = f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{MODEL}"
WANTED = [(call, name, json.loads(arguments)) for call, name, arguments in TOOL_CALLS]
HI: list[dict[str, Any]] = [{"role": "user", "content": [{"text": "Hi"}]}]
BUSY = {"throttlingException": {"message": "Slow down"}}


@pytest.fixture(scope="module")
def program(lasting_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    base = f"{lasting_upstream.url}/v1"
    config = f"""
providers:
  - {{name: aws, type: openai-compatible, base_url: "{base}", dialects: [converse], api_key: ours}}
  - {{name: spare, type: openai-compatible, base_url: "{base}", dialects: [converse], api_key: ours}}
  - {{name: gpt, type: openai-compatible, base_url: "{base}", dialects: [chat], api_key: ours}}
  - {{name: pretend, type: stub}}
models:
  - {{name: two, targets: [{{provider: aws, model: first}}, {{provider: spare, model: second}}]}}
middlewares:
  - {{type: sessions}}
  - {{type: trace, config: {{directory: ./traces, include_body: true}}}}
"""
    with Program(tmp_path_factory.mktemp("boto3"), "serve", config=config) as program:
        yield program


@pytest.fixture
def client(program: Program) -> Iterator[Any]:
    made = bedrock(program.url)
    yield made
    made.close()


@pytest.fixture(params=ASKERS, ids=lambda asker: f"{asker.dialect} client")
def asker(request: pytest.FixtureRequest, program: Program) -> Iterator[SdkConversation]:
    conversation = request.param(program.url)
    with conversation.client:
        yield conversation


def read(client: Any, **request: Any) -> dict[str, Any]:
    """Return the reply in a stream, read to its end."""
    with contextlib.closing(client.converse_stream(**request)["stream"]) as stream:
        return gather(stream)


# -- a provider that speaks it


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("model", [MODEL, ARN])
def test_every_client_is_answered(asker: SdkConversation, upstream: Upstream, model: str, stream: bool) -> None:
    asker.say("Grüß Gott", image=True)
    turn = asker.ask(f"aws/{model}", stream=stream, tools=True)
    assert (turn.text, turn.calls, turn.stop) == (TEXT, WANTED, asker.stops[1])
    assert (turn.tokens_in, turn.tokens_out) == (IN, OUT)
    escaped = model.replace(":", "%3A").replace("/", "%2F")
    assert upstream.only.target == f"/v1/model/{escaped}/converse{'-stream' if stream else ''}".encode()
    assert upstream.only.value("authorization") == "Bearer ours"
    [message] = json.loads(upstream.only.body)["messages"]
    assert message["content"][:2] == [{"text": "Grüß Gott"}, {"image": {"format": "png", "source": {"bytes": PNG}}}]


@pytest.mark.parametrize("name", ["aws", "gpt"])
def test_an_exception_in_front_of_everything_is_an_answer_of_its_status(
    client: Any, upstream: Upstream, name: str
) -> None:
    error = {"message": "Slow down", "type": "rate_limit_error"}
    upstream.next(vendors.events([BUSY]) if name == "aws" else vendors.streamed([vendors.data_frame({"error": error})]))
    with pytest.raises(client.exceptions.ThrottlingException, match="Slow down") as caught:
        client.converse_stream(modelId=f"{name}/m", messages=HI)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429


def test_another_target_answers_after_an_exception_in_front_of_everything(client: Any, upstream: Upstream) -> None:
    upstream.next(vendors.events([BUSY]))
    answer = read(client, modelId="two", messages=HI)
    assert answer["output"]["message"]["content"] == [{"text": TEXT}]
    assert [each.target for each in upstream.requests] == [
        b"/v1/model/first/converse-stream",
        b"/v1/model/second/converse-stream",
    ]


def test_a_stream_is_relayed_byte_by_byte(program: Program, upstream: Upstream) -> None:
    answer = program.post(f"/model/aws%2F{MODEL}/converse-stream", {"messages": HI})
    assert answer.value("content-type") == "application/vnd.amazon.eventstream"
    assert answer.body == messages_of(vendors.converse_events())


def test_an_exception_later_is_raised_while_the_client_reads(client: Any, upstream: Upstream) -> None:
    begun = vendors.converse_events()[:3]
    upstream.next(vendors.events([*begun, BUSY]))
    with contextlib.closing(client.converse_stream(modelId="aws/m", messages=HI)["stream"]) as stream:
        events = iter(stream)
        assert [next(iter(next(events))) for _ in begun] == ["messageStart", "contentBlockDelta", "contentBlockDelta"]
        with pytest.raises(EventStreamError, match="Slow down"):
            next(events)


@pytest.mark.parametrize("name", ["aws", "gpt"])
def test_a_stream_that_breaks_between_two_messages_ends_with_an_exception(
    client: Any, upstream: Upstream, name: str
) -> None:
    if name == "aws":
        pieces, headers = [messages_of([event]) for event in vendors.converse_events()[:3]], vendors.EVENTS
    else:
        pieces, headers = vendors.chat_frames("m")[:3], vendors.SSE
    upstream.next(Reply(headers=headers, pieces=pieces, framing="chunked", end="cut"))
    with pytest.raises(EventStreamError) as caught:
        read(client, modelId=f"{name}/m", messages=HI)
    assert caught.value.response["Error"]["Code"] == "modelStreamErrorException"


def test_a_stream_that_breaks_within_a_message_is_cut(client: Any, upstream: Upstream) -> None:
    whole = messages_of(vendors.converse_events()[:3])
    upstream.next(Reply(headers=vendors.EVENTS, pieces=[whole[:-5]], framing="chunked", end="cut"))
    with pytest.raises(Exception, match=r"Connection broken|IncompleteRead|ended prematurely") as caught:
        read(client, modelId="aws/m", messages=HI)
    assert not isinstance(caught.value, ClientError)


# -- errors of ours


@pytest.mark.parametrize(
    ("model", "messages", "name"),
    [
        ("nobody", HI, "ResourceNotFoundException"),
        ("gpt/m", [{"role": "user", "content": [{"cachePoint": {"type": "default"}}, {"toolUse": {}}]}], ""),
        ("gpt/m", [{"role": "user", "content": [{"searchResult": {}}]}], ""),
        ("gpt/m", [{"role": "user", "content": [{"newBlock": {}}]}], "ValidationException"),
    ],
)
def test_our_errors_are_exceptions_of_the_service_model(
    program: Program, client: Any, upstream: Upstream, model: str, messages: Any, name: str
) -> None:
    answer = program.post(f"/model/{model.replace('/', '%2F')}/converse", {"messages": messages})
    assert answer.status in (400, 404) and list(answer.json) == ["message"]
    assert answer.value("x-amzn-errortype") == (name or "ValidationException")
    if messages is HI:
        with pytest.raises(client.exceptions.ResourceNotFoundException, match="nobody"):
            client.converse(modelId=model, messages=messages)
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (403, "AccessDeniedException"),
        (429, "ThrottlingException"),
        (500, "InternalServerException"),
        (503, "ServiceUnavailableException"),
    ],
)
def test_errors_of_other_vendors_are_exceptions_too(client: Any, upstream: Upstream, status: int, name: str) -> None:
    upstream.next(vendors.failure(status, "No"))
    with pytest.raises(ClientError, match=f"vendor says {status}") as caught:
        client.converse(modelId="gpt/m", messages=HI)
    assert type(caught.value).__name__ == caught.value.response["Error"]["Code"] == name


def test_an_error_of_bedrock_reaches_other_clients(program: Program, upstream: Upstream) -> None:
    said = Reply(status=429, reason="No", headers=vendors.JSON, pieces=[b'{"message":"Too many tokens"}'])
    upstream.next(said)
    gpt = openai.OpenAI(base_url=f"{program.url}/v1", api_key="dummy", max_retries=0)
    with gpt, pytest.raises(openai.RateLimitError, match="Too many tokens"):
        gpt.chat.completions.create(model="aws/m", messages=[{"role": "user", "content": "Hi"}])


# -- what stands in place of a provider, and beside it


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_the_stub_answers(client: Any, stream: bool) -> None:
    request = {"modelId": "pretend/stub", "messages": HI}
    answer = read(client, **request) if stream else client.converse(**request)
    assert answer["output"]["message"]["content"] == [{"text": "stub response"}]
    assert (answer["stopReason"], answer["usage"]["outputTokens"]) == ("end_turn", 2)


def test_tokens_are_counted_by_the_provider_or_by_the_stub(client: Any, upstream: Upstream) -> None:
    asked = {"converse": {"messages": HI, "system": [{"text": "Be brief"}]}}
    assert client.count_tokens(modelId="pretend/stub", input=asked)["inputTokens"] == 5
    invoked = {"invokeModel": {"body": b'{"max_tokens": 9, "messages": [{"role": "user", "content": "Hi there"}]}'}}
    assert client.count_tokens(modelId="pretend/stub", input=invoked)["inputTokens"] == 3
    assert client.count_tokens(modelId="aws/m", input=asked)["inputTokens"] == IN
    assert upstream.only.target == b"/v1/model/m/count-tokens"


def test_tokens_are_estimated_where_nobody_counts(upstream: Upstream, tmp_path: Path) -> None:
    config = f"""
translation: {{estimate_tokens: true}}
providers: [{{name: main, type: openai-compatible, base_url: "{upstream.url}/v1", api_key: k}}]
"""
    with Program(tmp_path, "serve", config=config) as program, contextlib.closing(bedrock(program.url)) as client:
        asked: Any = {"messages": [{"role": "user", "content": [{"text": "x" * 400}]}]}
        assert client.count_tokens(modelId="m", input={"converse": asked})["inputTokens"] == 104
        claude = {"messages": [{"role": "user", "content": "x" * 400}], "anthropic_version": "bedrock-2023-05-31"}
        body = json.dumps({**claude, "max_tokens": 9}).encode()
        assert client.count_tokens(modelId="m", input={"invokeModel": {"body": body}})["inputTokens"] == 104
        with pytest.raises(client.exceptions.ValidationException, match="messages is missing"):
            client.count_tokens(modelId="m", input={"invokeModel": {"body": b"{}"}})
    assert upstream.requests == []


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_an_exchange_is_counted_and_belongs_to_its_session(program: Program, upstream: Upstream, stream: bool) -> None:
    before = program.metric("llmproxy_tokens_total", type="output")
    path = f"/model/aws%2Fm/converse{'-stream' if stream else ''}"
    scope = "AKIDDUMMY/20261129/us-east-1/bedrock/aws4_request"
    signed = f"authorization: AWS4-HMAC-SHA256 Credential={scope}, Signature={{}}"
    first = program.post(path, {"messages": HI}, signed.format("a"))
    assert program.metric("llmproxy_tokens_total", type="output") - before == OUT
    more = [*HI, {"role": "assistant", "content": [{"text": TEXT}]}, *HI]
    second = program.post(path, {"messages": more}, signed.format("b"))
    assert first.value("x-llmproxy-session") == second.value("x-llmproxy-session") is not None
