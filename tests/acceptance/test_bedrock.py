"""Bedrock in front and behind: signatures, invoke forms, AnthropicBedrock and boto3 as clients."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import boto3
import openai
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support import vendors
from tests.support.fake_bedrock import EVENTS, KEY_ID, REGION, SECRET, FakeBedrock, chunk, exception, refusal
from tests.support.program import Program, run
from tests.support.provider import Reply, Upstream
from tests.support.waiting import until

CLAUDE = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
ARN = f"arn:aws:bedrock:{REGION}:123456789012:inference-profile/{CLAUDE}"
ASK: Any = {"max_tokens": 99, "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(scope="module")
def lasting_bedrock() -> Iterator[Upstream]:
    with Upstream(FakeBedrock().answer) as upstream:
        yield upstream


@pytest.fixture
def bedrock(lasting_bedrock: Upstream) -> Iterator[Upstream]:
    lasting_bedrock.forget()
    yield lasting_bedrock
    lasting_bedrock.check()


def config(bedrock: Upstream, upstream: Upstream) -> str:
    keys = f'region: {REGION}, access_key_id: {KEY_ID}, secret_access_key: "{SECRET}"'
    return f"""
providers:
  - {{name: bedrock, type: bedrock, base_url: "{bedrock.url}", {keys}}}
  - {{name: anthropic, type: anthropic, base_url: "{upstream.url}", api_key: sk-ant}}
  - {{name: other, type: openai-compatible, base_url: "{upstream.url}/v1", api_key: sk-other, models: ["llama*"]}}
"""


@pytest.fixture(scope="module")
def program(
    lasting_bedrock: Upstream, lasting_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    with Program(tmp_path_factory.mktemp("bedrock"), "serve", config=config(lasting_bedrock, lasting_upstream)) as it:
        yield it


def sdk(url: str) -> anthropic.AnthropicBedrock:
    return anthropic.AnthropicBedrock(
        base_url=url, aws_access_key="dummy", aws_secret_key="dummy", aws_region="us-east-1", max_retries=0
    )


@pytest.fixture
def boto() -> Iterator[Callable[[str], Any]]:
    """Make clients of boto3 for an address, with credentials that are worth nothing."""
    with contextlib.ExitStack() as opened:

        def make(url: str) -> Any:
            made = boto3.client(
                "bedrock-runtime",
                endpoint_url=url,
                region_name="us-east-1",
                aws_access_key_id="dummy",
                aws_secret_access_key="dummy",
                aws_session_token="dummy-session",
                config=Config(retries={"max_attempts": 0}),
            )
            return opened.enter_context(contextlib.closing(made))

        yield make


def say(client: Any, model: str) -> None:
    """Ask plain and streamed, and expect the same."""
    plain = client.messages.create(model=model, **ASK)
    with client.messages.stream(model=model, **ASK) as stream:
        final = stream.get_final_message()
    assert plain.content[0].text == final.content[0].text == vendors.TEXT
    assert plain.usage.output_tokens == final.usage.output_tokens == vendors.OUT


@pytest.mark.ledger("P1", "H1")
@pytest.mark.parametrize("model", [CLAUDE, ARN, "bedrock/anthropic.claude-3-haiku-20240307-v1:0"])
def test_messages_clients_reach_claude_by_invoke(program: Program, bedrock: Upstream, model: str) -> None:
    with anthropic.Anthropic(base_url=program.url, api_key="dummy", max_retries=0) as client:
        say(client, model)
        client.beta.messages.create(model=model, betas=["a-1", "b-2"], **ASK)
    plain, streamed, beta = bedrock.requests
    identity = model.removeprefix("bedrock/").replace(":", "%3A").replace("/", "%2F")
    assert plain.path == f"/model/{identity}/invoke" and streamed.path == f"{plain.path}-with-response-stream"
    assert json.loads(plain.body) == {**ASK, "anthropic_version": "2026-10-21"}  # the SDK's own, from its header
    assert json.loads(beta.body)["anthropic_beta"] == ["a-1", "b-2"]
    assert plain.value("x-api-key") is None


@pytest.mark.ledger("H1")
def test_anthropics_bedrock_client_reaches_every_kind_of_provider(
    program: Program, bedrock: Upstream, upstream: Upstream
) -> None:
    for base in (program.url, f"{program.url}/bedrock"):
        with sdk(base) as client:
            say(client, CLAUDE)
    with sdk(program.url) as client:
        say(client, "claude-sonnet-4-6")
        sent = json.loads(upstream.last.body)
        assert upstream.last.path == "/v1/messages" and sent["model"] == "claude-sonnet-4-6" and sent["stream"] is True
        assert "anthropic_version" not in sent and upstream.last.value("x-api-key") == "sk-ant"
        assert upstream.last.value("anthropic-version") == "2026-10-21"
        say(client, "llama3")  # translated
        assert upstream.last.path == "/v1/chat/completions"
    for request in (*bedrock.requests, *upstream.requests):
        assert b"dummy" not in request.head


def test_tokens_are_counted_at_bedrock(boto: Callable[[str], Any], program: Program, bedrock: Upstream) -> None:
    with anthropic.Anthropic(base_url=program.url, api_key="dummy", max_retries=0) as client:
        counted = client.messages.count_tokens(model=ARN, messages=[{"role": "user", "content": "hi"}])
        assert counted.input_tokens == vendors.IN
        bedrock.next(refusal(400, "Bad Request", "ValidationException", "not this model"))
        with pytest.raises(anthropic.BadRequestError, match="not this model"):
            client.messages.count_tokens(model=CLAUDE, messages=[{"role": "user", "content": "hi"}])
    assert bedrock.requests[0].path == f"/model/{CLAUDE.removeprefix('eu.').replace(':', '%3A')}/count-tokens"
    body = json.dumps({**ASK, "anthropic_version": "bedrock-2023-05-31"})
    asked = boto(f"{program.url}/bedrock").count_tokens(modelId=CLAUDE, input={"invokeModel": {"body": body}})
    assert asked["inputTokens"] == vendors.IN


def test_a_client_without_a_version_gets_that_of_bedrock(program: Program, bedrock: Upstream) -> None:
    for headers in ((), ("anthropic-version: 2023-06-01",)):
        assert program.post("/v1/messages", {"model": CLAUDE, **ASK, "stream": False}, *headers).status == 200
        assert json.loads(bedrock.last.body) == {**ASK, "anthropic_version": "bedrock-2023-05-31"}
        assert bedrock.last.value("anthropic-version") is None


def test_a_clients_own_version_stays(program: Program, bedrock: Upstream) -> None:
    body = {**ASK, "anthropic_version": "2026-10-21"}
    assert program.post(f"/model/{CLAUDE}/invoke", body).status == 200
    assert json.loads(bedrock.only.body) == body


@pytest.mark.ledger("H1")
@pytest.mark.parametrize("prefix", ["", "/bedrock"])
def test_boto3_invokes_models_through_the_proxy(
    boto: Callable[[str], Any], program: Program, bedrock: Upstream, prefix: str
) -> None:
    client = boto(program.url + prefix)
    body = json.dumps({**ASK, "anthropic_version": "bedrock-2023-05-31"})
    reply = json.loads(client.invoke_model(modelId=CLAUDE, body=body)["body"].read())
    assert reply["content"][0]["text"] == vendors.TEXT
    with contextlib.closing(client.invoke_model_with_response_stream(modelId=ARN, body=body)["body"]) as stream:
        events = [json.loads(event["chunk"]["bytes"]) for event in stream]
    assert events[0]["type"] == "message_start" and events[-1]["type"] == "message_stop"
    titan = {"inputText": "hi", "textGenerationConfig": {"maxTokenCount": 5}}
    answer = client.invoke_model(modelId="amazon.titan-text-express-v1", body=json.dumps(titan))
    assert json.loads(answer["body"].read()) == {"echo": titan}
    assert bedrock.requests[0].body == body.encode()
    assert all(b"dummy" not in request.head for request in bedrock.requests)


def test_the_bytes_of_an_event_stream_are_passed_on(program: Program, bedrock: Upstream) -> None:
    frames = [chunk(frame) for frame in vendors.message_frames(CLAUDE)]
    bedrock.next(Reply(headers=EVENTS, pieces=frames, framing="chunked"))
    answer = program.post(f"/model/{CLAUDE}/invoke-with-response-stream", {**ASK, "anthropic_version": "x"})
    assert answer.body == b"".join(frames)


def test_throttling_is_the_sdks_own_exception(
    boto: Callable[[str], Any], program: Program, bedrock: Upstream, upstream: Upstream
) -> None:
    busy = refusal(429, "Too Many Requests", "ThrottlingException", "Too many tokens")
    bedrock.next(busy, busy)
    client = boto(program.url)
    body = json.dumps({**ASK, "anthropic_version": "bedrock-2023-05-31"})
    with pytest.raises(client.exceptions.ThrottlingException, match="Too many tokens"):
        client.invoke_model(modelId=CLAUDE, body=body)
    with (
        anthropic.Anthropic(base_url=program.url, api_key="k", max_retries=0) as claude,
        pytest.raises(anthropic.RateLimitError, match="Too many tokens") as caught,
    ):
        claude.messages.create(model=CLAUDE, **ASK)
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error"] == {"type": "rate_limit_error", "message": "Too many tokens"}
    upstream.next(vendors.failure(429, "Too Many Requests"))
    with pytest.raises(client.exceptions.ThrottlingException, match="vendor says 429"):
        client.invoke_model(modelId="claude-sonnet-4-6", body=body)


def test_exceptions_in_streams_keep_their_status(
    boto: Callable[[str], Any], program: Program, bedrock: Upstream
) -> None:
    frames = [chunk(frame) for frame in vendors.message_frames(CLAUDE)[:4]]
    late = exception("modelStreamErrorException", "it broke", originalStatusCode=529)
    first = Reply(headers=EVENTS, pieces=[exception("throttlingException", "slow down")], framing="chunked")
    bedrock.next(Reply(headers=EVENTS, pieces=[*frames, late], framing="chunked"), first)
    with anthropic.Anthropic(base_url=program.url, api_key="k", max_retries=0) as client:
        with pytest.raises(anthropic.APIStatusError, match="it broke"):
            list(client.messages.create(model=CLAUDE, stream=True, **ASK))
        with pytest.raises(anthropic.RateLimitError, match="slow down"):
            client.messages.create(model=CLAUDE, stream=True, **ASK)
    bedrock.next(Reply(headers=EVENTS, pieces=[*frames, late], framing="chunked"), first)
    boto_client = boto(program.url)
    body = json.dumps({**ASK, "anthropic_version": "bedrock-2023-05-31"})
    stream = boto_client.invoke_model_with_response_stream(modelId=CLAUDE, body=body)["body"]
    with contextlib.closing(stream), pytest.raises(ClientError, match="it broke"):
        list(stream)


def test_no_model_reaches_another_path(program: Program, bedrock: Upstream) -> None:
    for model in ("..", "%2e%2e%2fx", "anthropic.claude%2F..%2F..%2Fguardrail"):
        assert program.post(f"/bedrock/model/{model}/invoke", ASK).status == 400
    with anthropic.Anthropic(base_url=program.url, api_key="k", max_retries=0) as client:
        with pytest.raises(anthropic.BadRequestError):
            client.messages.create(model="bedrock/anthropic.claude/../../x", **ASK)
        client.messages.create(model="bedrock/anthropic.claude?x#y/converse", **ASK)
    assert bedrock.only.path == "/model/anthropic.claude%3Fx%23y%2Fconverse/invoke"


_KEYS = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET}


@pytest.mark.ledger("C2", "C9")
@pytest.mark.parametrize(
    ("variables", "shown"),
    [
        ({**_KEYS, "AWS_DEFAULT_REGION": REGION}, "AWS_ACCESS_KEY_ID"),
        ({**_KEYS, "AWS_SESSION_TOKEN": "the-session", "AWS_REGION": REGION}, "AWS_ACCESS_KEY_ID"),
        ({"AWS_PROFILE": "work", "AWS_REGION": REGION, "AWS_SHARED_CREDENTIALS_FILE": "aws.ini"}, "AWS_PROFILE"),
        ({"AWS_BEARER_TOKEN_BEDROCK": "the-key"}, "AWS_BEARER_TOKEN_BEDROCK"),
    ],
)
def test_the_usual_variables_name_a_bedrock_provider(variables: dict[str, str], shown: str, tmp_path: Path) -> None:
    (tmp_path / "aws.ini").write_text(f"[work]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n")
    fake = FakeBedrock()
    fake.sessions = {KEY_ID: variables["AWS_SESSION_TOKEN"]} if "AWS_SESSION_TOKEN" in variables else {}
    fake.bearer = variables.get("AWS_BEARER_TOKEN_BEDROCK")
    with Upstream(fake.answer) as aws:
        extra = {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": aws.url, **variables}
        with Program(tmp_path, "serve", extra=extra) as program:
            assert program.post("/v1/messages", {"model": CLAUDE, **ASK}).status == 200
            assert f"environment variable {shown}" in program.out


def test_large_requests_are_signed_too(program: Program, bedrock: Upstream) -> None:
    body = {**ASK, "anthropic_version": "bedrock-2023-05-31", "system": "x" * 3_000_000}
    assert program.post(f"/model/{CLAUDE}/invoke", body).status == 200
    assert len(bedrock.only.body) > 3_000_000


@pytest.mark.ledger("H2")
def test_chat_clients_name_bedrock_in_the_model(program: Program, bedrock: Upstream) -> None:
    with openai.OpenAI(base_url=f"{program.url}/openai-proxy", api_key="dummy", max_retries=0) as client:
        answer = client.chat.completions.create(
            model="bedrock/anthropic.claude-3-haiku-20240307-v1:0", messages=[{"role": "user", "content": "hi"}]
        )
    assert answer.choices[0].message.content == vendors.TEXT
    assert bedrock.only.path.startswith("/model/anthropic.claude-3-haiku-20240307-v1%3A0/")


def test_a_signed_request_in_a_trace_is_repeated_by_curl(
    boto: Callable[[str], Any], lasting_bedrock: Upstream, lasting_upstream: Upstream, tmp_path: Path
) -> None:
    text = config(lasting_bedrock, lasting_upstream) + "\nmiddlewares: [{type: trace, config: {directory: ./traces}}]\n"
    with Program(tmp_path, "serve", config=text) as program:
        body = json.dumps({**ASK, "anthropic_version": "bedrock-2023-05-31"})
        asked = boto(program.url).invoke_model_with_response_stream(modelId=CLAUDE, body=body)
        with contextlib.closing(asked["body"]) as stream:
            list(stream)
        until(lambda: list((tmp_path / "traces").glob("*/*.json")), "the record")
    identifier = json.loads(run("trace", "ls", "--json", cwd=tmp_path).stdout)["id"]
    shown = run("trace", "show", identifier, "--curl", cwd=tmp_path)
    assert "--aws-sigv4" in shown.stdout and "dummy" not in shown.stdout, shown
    said = run("trace", "show", identifier, cwd=tmp_path)
    assert vendors.TEXT in said.stdout


@pytest.mark.parametrize(
    "extra",
    [
        "",
        "  - {name: b, type: bedrock, region: us-east-1, access_key_id: a, secret_access_key: b}",
        "  - {name: v, type: vertex, project: p}",
    ],
)
def test_a_start_loads_nothing_of_aws_or_google(tmp_path: Path, extra: str) -> None:
    (tmp_path / "x.yaml").write_text(f"providers:\n  - {{name: stub, type: stub}}\n{extra}\n")
    code = (
        "import sys, llmproxy.cli; from llmproxy import create_app; create_app('x.yaml')\n"
        "sys.exit(' '.join(name for name in sys.modules if name.startswith(('boto', 'google.auth', 'requests'))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.ledger("H1")
def test_bedrocks_other_calls_are_signed_and_relayed(
    boto: Callable[[str], Any], program: Program, bedrock: Upstream
) -> None:
    bedrock.next(*[vendors.plain({})] * 4)
    client = boto(program.url)
    arn = f"arn:aws:bedrock:{REGION}:123456789012:async-invoke/abc"
    s3 = {"s3OutputDataConfig": {"s3Uri": "s3://b/k"}}
    client.start_async_invoke(modelId="amazon.nova-reel-v1:1", modelInput={"a": "b"}, outputDataConfig=s3)
    client.get_async_invoke(invocationArn=arn)
    client.list_async_invokes(maxResults=5)
    content = [{"text": {"text": "hi"}}]
    client.apply_guardrail(guardrailIdentifier="g", guardrailVersion="1", source="INPUT", content=content)
    paths = [request.target.decode() for request in bedrock.requests]
    assert paths == [
        "/async-invoke",
        f"/async-invoke/{arn.replace(':', '%3A').replace('/', '%2F')}",
        "/async-invoke?maxResults=5",
        "/guardrail/g/version/1/apply",
    ]
    assert [FakeBedrock().fault_of(request) for request in bedrock.requests] == [None] * 4


@pytest.mark.ledger("P5")
def test_keys_that_expired_are_replaced_within_the_call(tmp_path: Path) -> None:
    fake, file = FakeBedrock(), tmp_path / "credentials"
    fake.secrets["AKIDOLD"] = SECRET

    def write(key: str) -> None:
        file.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {SECRET}\n")

    write("AKIDOLD")
    with Upstream(fake.answer) as aws:
        text = f'providers:\n  - {{name: b, type: bedrock, region: {REGION}, base_url: "{aws.url}"}}\n'
        with Program(tmp_path, "serve", config=text, extra={"AWS_SHARED_CREDENTIALS_FILE": str(file)}) as program:
            expired = refusal(403, "Forbidden", "ExpiredTokenException", "The security token is expired")
            statuses = [program.post("/v1/messages", {"model": CLAUDE, **ASK}).status]
            write(KEY_ID)
            for _ in range(2):  # there are no others the second time
                aws.next(expired)
                statuses.append(program.post("/v1/messages", {"model": CLAUDE, **ASK}).status)
        signers = [(request.value("authorization") or "").split("/")[0][-10:] for request in aws.requests]
    assert statuses == [200, 200, 403]
    assert [each[-7:] for each in signers] == ["AKIDOLD", "AKIDOLD", "EXAMPLE", "EXAMPLE"]


def test_missing_credentials_are_said_at_the_start_and_in_a_502(tmp_path: Path) -> None:
    text = f"providers:\n  - {{name: bedrock, type: bedrock, region: {REGION}}}\n"
    with Program(tmp_path, "serve", config=text, extra={"AWS_EC2_METADATA_DISABLED": "true"}) as program:
        until(lambda: "No credentials for AWS: none found. Tried: env" in program.err, "the warning")
        answer = program.post("/v1/messages", {"model": CLAUDE, **ASK})
        assert answer.status == 502 and "Tried: env, assume-role" in answer.json["error"]["message"]
        assert "where AWS's tools look" in program.out
