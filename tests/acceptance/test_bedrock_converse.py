"""Bedrock by Converse: boto3 through the proxy, signed anew, and clients of other dialects."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import boto3
import openai
import pytest
from botocore.config import Config

from tests.support import vendors
from tests.support.converse_types import complaints_of_botocore, gather
from tests.support.fake_bedrock import KEY_ID, REGION, SECRET, FakeBedrock, exception, refusal
from tests.support.program import Program
from tests.support.provider import Reply, Upstream

CLAUDE = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = f"arn:aws:bedrock:{REGION}:123456789012:inference-profile/eu.amazon.nova-pro-v1:0"
HI: Any = [{"role": "user", "content": [{"text": "hi"}]}]
TOOLS: Any = {"tools": [{"toolSpec": {"name": "weather", "inputSchema": {"json": {"type": "object"}}}}]}


@pytest.fixture(scope="module")
def lasting_bedrock() -> Iterator[Upstream]:
    with Upstream(FakeBedrock().answer) as upstream:
        yield upstream


@pytest.fixture
def bedrock(lasting_bedrock: Upstream) -> Iterator[Upstream]:
    lasting_bedrock.forget()
    yield lasting_bedrock
    lasting_bedrock.check()


@pytest.fixture(scope="module")
def program(lasting_bedrock: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    keys = f'region: {REGION}, access_key_id: {KEY_ID}, secret_access_key: "{SECRET}"'
    text = f'providers:\n  - {{name: bedrock, type: bedrock, base_url: "{lasting_bedrock.url}", {keys}}}\n'
    with Program(tmp_path_factory.mktemp("converse"), "serve", config=text) as it:
        yield it


@pytest.fixture
def client(program: Program, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Boto3 as its users have it, but for the address; its credentials are worth nothing."""
    made = boto3.client(
        "bedrock-runtime",
        endpoint_url=program.url + getattr(request, "param", ""),
        region_name="us-east-1",
        aws_access_key_id="dummy",
        aws_secret_access_key="dummy",
        aws_session_token="dummy-session",
        config=Config(retries={"max_attempts": 0}),
    )
    with contextlib.closing(made):
        yield made


@pytest.mark.ledger("P1", "H1")
@pytest.mark.parametrize("client", ["", "/bedrock"], indirect=True)
@pytest.mark.parametrize("model", [CLAUDE, NOVA])
def test_boto3_converses_through_the_proxy(client: Any, bedrock: Upstream, model: str) -> None:
    whole = client.converse(modelId=model, messages=HI, toolConfig=TOOLS)
    with contextlib.closing(client.converse_stream(modelId=model, messages=HI, toolConfig=TOOLS)["stream"]) as stream:
        streamed = gather(stream)
    calls = [block["toolUse"]["name"] for block in whole["output"]["message"]["content"] if "toolUse" in block]
    assert calls == [call[1] for call in vendors.TOOL_CALLS]
    assert streamed["output"] == whole["output"] and streamed["usage"] == whole["usage"]
    escaped = model.replace(":", "%3A").replace("/", "%2F")
    assert [each.path for each in bedrock.requests] == [
        f"/model/{escaped}/converse",
        f"/model/{escaped}/converse-stream",
    ]
    assert all(b"dummy" not in each.head for each in bedrock.requests)
    assert json.loads(bedrock.last.body) == {"messages": HI, "toolConfig": TOOLS}


@pytest.mark.ledger("P1", "H2")
@pytest.mark.parametrize("model", [CLAUDE, NOVA])
def test_chat_clients_are_translated_into_converse(program: Program, bedrock: Upstream, model: str) -> None:
    with openai.OpenAI(base_url=f"{program.url}/openai-proxy", api_key="dummy", max_retries=0) as chat:
        for stream in (False, True):
            answer: Any = chat.chat.completions.create(
                model=f"bedrock/{model}", messages=[{"role": "user", "content": "hi"}], stream=stream
            )
            text = "".join(each.choices[0].delta.content or "" for each in answer if each.choices) if stream else None
            assert (text if stream else answer.choices[0].message.content) == vendors.TEXT
    for request in bedrock.requests:
        assert "/converse" in request.path and complaints_of_botocore(json.loads(request.body)) == []


def test_throttling_is_the_sdks_own_exception_also_in_a_stream(client: Any, bedrock: Upstream) -> None:
    bedrock.next(refusal(429, "Too Many Requests", "ThrottlingException", "Too many tokens"))
    with pytest.raises(client.exceptions.ThrottlingException, match="Too many tokens"):
        client.converse(modelId=CLAUDE, messages=HI)
    first = exception("throttlingException", "slow down")
    bedrock.next(Reply(headers=vendors.EVENTS, pieces=[first], framing="chunked"))
    with pytest.raises(client.exceptions.ThrottlingException, match="slow down"):
        client.converse_stream(modelId=CLAUDE, messages=HI)


def test_tokens_of_a_conversation_are_counted(client: Any, bedrock: Upstream) -> None:
    asked = client.count_tokens(modelId=CLAUDE, input={"converse": {"messages": HI}})
    assert asked["inputTokens"] == vendors.IN and bedrock.only.path.endswith("/count-tokens")
    body = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 1, "messages": []})
    assert client.count_tokens(modelId=CLAUDE, input={"invokeModel": {"body": body}})["inputTokens"] == vendors.IN


def test_calls_that_nobody_knows_are_signed_too(program: Program, bedrock: Upstream) -> None:
    bedrock.next(vendors.plain({"usage": {}, "action": "NONE", "outputs": [], "assessments": []}))
    answer = program.post("/bedrock/guardrail/g1/version/1/apply", {"source": "INPUT", "content": []})
    assert answer.status == 200 and bedrock.only.body == b'{"source": "INPUT", "content": []}'
    assert FakeBedrock().fault_of(bedrock.only) is None
