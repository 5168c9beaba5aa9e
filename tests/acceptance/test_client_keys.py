"""A program with client keys: who comes in, with which SDK, and what each may do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anthropic
import boto3
import openai
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from google import genai
from google.genai import errors, types

from tests.support.program import Program, run
from tests.support.provider import Upstream
from tests.support.raw_http import RawClient
from tests.support.team import ADMIN, CHAT, CI, CLAUDE, GPT, HELLO, KEYS, OLD, ask
from tests.support.waiting import until

pytestmark = pytest.mark.ledger("A1")


@pytest.mark.parametrize(
    ("path", "header"),
    [
        (CHAT, f"Authorization: Bearer {CI}"),
        (CHAT, f"X-API-Key: {CI}"),
        (CHAT, f"api-key: {CI}"),
        (CHAT, f"x-goog-api-key: {CI}"),
        (CHAT, f"x-llmproxy-key: {CI}"),
        (f"{CHAT}?key={CI}", "Accept: */*"),
        (CHAT, f"Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{CI}"),
        (CHAT, f"Authorization: AWS4-HMAC-SHA256 Credential={CI}/20260101/us-east-1/bedrock/aws4_request, Signature=0"),
    ],
)
@pytest.mark.parametrize("model", ["gpt-x", "own-x", "pass-x"])
def test_a_key_lets_in_wherever_it_stands_and_goes_no_further(
    team: Program, upstream: Upstream, path: str, header: str, model: str
) -> None:
    assert ask(team, model, header, path=path)[0] == 200
    request = upstream.only
    assert CI.encode() not in request.head + request.body
    assert request.value("authorization") == (None if model == "own-x" else "Bearer ours")


def test_a_credential_for_the_provider_goes_on_beside_the_key(team: Program, upstream: Upstream) -> None:
    for model in ("own-x", "pass-x"):
        upstream.forget()
        assert ask(team, model, f"x-llmproxy-key: {CI}", "Authorization: Bearer sk-mine")[0] == 200
        assert upstream.only.value("authorization") == "Bearer sk-mine"


@pytest.mark.parametrize(
    "header", ["Accept: */*", "Authorization: Bearer wrong-key", f"x-api-key: {OLD}", f"x-api-key: {ADMIN}"]
)
@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/main/v1/anything", "/no/such/path", "/v1/responses/resp_1"])
def test_without_a_valid_key_everything_is_the_same_401(
    team: Program, upstream: Upstream, path: str, header: str
) -> None:
    answer = team.get(path, header) if path != CHAT else team.post(path, {"model": "gpt-x"}, header)
    assert answer.status == 401
    assert answer.json["error"]["code"] == "invalid_api_key"
    assert answer.json["error"]["message"] == "The API key is missing or not valid"
    assert answer.value("www-authenticate") == "Bearer"
    assert not upstream.requests


@pytest.mark.parametrize(
    ("path", "header", "member"),
    [
        ("/v1/models", "Accept: */*", ("error", "code")),
        ("/v1/models", "anthropic-version: 2023-06-01", ("error", "type")),
        ("/v1beta/models", "Accept: */*", ("error", "status")),
        ("/v1/messages/batches", "Accept: */*", ("error", "type")),
        ("/model/x/converse", "Accept: */*", ("message",)),
    ],
)
def test_it_is_refused_in_the_dialect_of_the_client(
    team: Program, path: str, header: str, member: tuple[str, ...]
) -> None:
    with team.client() as client:
        client.request("POST" if path.endswith("converse") else "GET", path, header)
        body = client.read_answer().json
    for name in member:
        body = body[name]
    assert body in ("invalid_api_key", "authentication_error", "UNAUTHENTICATED", "The API key is missing or not valid")


def test_it_is_refused_before_a_body_is_read(team: Program, upstream: Upstream) -> None:
    with team.client() as client:
        client.request("POST", CHAT, "Content-Length: 1000000", "Expect: 100-continue")
        answer = client.read_answer()
        assert answer.status == 401 and not answer.interim


def test_openai_raises_its_own_errors(team: Program) -> None:
    def client(key: str) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{team.url}/v1", api_key=key, max_retries=0)

    with client(GPT) as allowed, client("wrong-key") as nobody:
        assert allowed.chat.completions.create(model="gpt-x", messages=[{"role": "user", "content": "Hi"}]).choices
        with pytest.raises(openai.PermissionDeniedError):
            allowed.responses.create(model="claude-x", input="Hi")
        with pytest.raises(openai.AuthenticationError):
            nobody.models.list()


def test_anthropic_raises_its_own_errors(team: Program) -> None:
    def client(key: str) -> anthropic.Anthropic:
        return anthropic.Anthropic(base_url=team.url, api_key=key, max_retries=0)

    with client(CLAUDE) as allowed, client("wrong-key") as nobody:
        message: Any = {"max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
        assert allowed.messages.create(model="claude-x", **message).content
        with pytest.raises(anthropic.PermissionDeniedError):
            allowed.messages.create(model="gpt-x", **message)
        with pytest.raises(anthropic.AuthenticationError):
            nobody.messages.create(model="claude-x", **message)


def test_google_genai_raises_its_own_errors(team: Program) -> None:
    def status(key: str, model: str) -> int:
        options = types.HttpOptions(base_url=team.url)
        with genai.Client(api_key=key, http_options=options) as client:
            try:
                client.models.generate_content(model=model, contents="Hi")
            except errors.ClientError as error:
                return error.code
        return 200

    assert [status(GPT, "gemini-x"), status(GPT, "claude-x"), status("wrong-key", "gemini-x")] == [200, 403, 401]


def test_boto3_raises_its_own_errors(team: Program) -> None:
    def code(key: str, model: str) -> str:
        client = boto3.client(
            "bedrock-runtime",
            endpoint_url=team.url,
            region_name="us-east-1",
            aws_access_key_id=key,
            aws_secret_access_key="any",
            config=Config(retries={"total_max_attempts": 1}),
        )
        try:
            client.converse(modelId=model, messages=[{"role": "user", "content": [{"text": "Hi"}]}])
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        finally:
            client.close()
        return ""

    assert code(CI, "us.claude-x") == ""
    assert code(GPT, "us.claude-x") == code("wrong-key", "us.claude-x") == "AccessDeniedException"


@pytest.mark.ledger("A5")
@pytest.mark.parametrize(
    "page", ["/stats", "/metrics", "/metrics/json", "/config", "/providers", "/sessions", "/cache"]
)
def test_our_own_pages_need_the_admin_key(team: Program, page: str) -> None:
    for header in ("Accept: */*", f"Authorization: Bearer {CI}", "Authorization: Bearer "):
        refused = team.get(page, header)
        assert refused.status == 401
        assert refused.value("x-content-type-options") == "nosniff" and refused.value("cache-control") == "no-store"
    answer = team.get(page, f"Authorization: Bearer {ADMIN}")
    assert answer.status in (200, 404)
    assert not any(key in answer.body.decode() for key in KEYS)
    assert answer.value("x-frame-options") == "DENY" and answer.value("referrer-policy") == "no-referrer"
    assert "default-src 'none'" in (answer.value("content-security-policy") or "")


def test_health_is_open(team: Program) -> None:
    assert team.get("/health").status == 200
    with team.client() as client:
        client.request("HEAD", "/")
        assert client.read_answer("HEAD").status == 200


def test_commands_take_the_admin_key_from_the_environment(team: Program, tmp_path: Path) -> None:
    refused = run("stats", "--once", "--url", team.url, cwd=tmp_path)
    assert refused.returncode == 1 and "LLMPROXY_ADMIN_KEY" in refused.stderr
    shown = run("stats", "--once", "--url", team.url, cwd=tmp_path, extra={"LLMPROXY_ADMIN_KEY": ADMIN})
    assert shown.returncode == 0, shown.stderr


def recorded(program: Program, model: str) -> Any:
    """Return the record of the only request for `model`."""

    def records() -> list[Any]:
        texts = [path.read_text() for path in (program.directory / "traces").rglob("*.json")]
        return [json.loads(text) for text in texts if f'"{model}"' in text and text.rstrip().endswith("}")]

    until(lambda: bool(records()), "the record")
    return records()[0]


def test_records_name_the_client_and_never_its_key(team: Program) -> None:
    marker = "gpt-recorded"
    ask(team, marker, f"Authorization: Bearer {CI}", "X-Mine: yes")
    record = recorded(team, marker)
    assert record["client"]["name"] == "ci"
    assert not any(key in json.dumps(record) for key in KEYS)


@pytest.mark.parametrize(("source", "address"), [("127.0.0.1", "1.2.3.4"), ("127.0.0.2", "127.0.0.2")])
def test_a_client_cannot_lie_about_its_address(team: Program, source: str, address: str) -> None:
    body = json.dumps({"model": f"gpt-from-{source}", "messages": HELLO}).encode()
    with RawClient(team.address, source=source) as client:
        client.request("POST", CHAT, "X-Forwarded-For: 6.6.6.6, 1.2.3.4", f"x-api-key: {CI}", body=body)
        assert client.read_answer().status == 200
    assert recorded(team, f"gpt-from-{source}")["client"]["address"] == address


def test_a_keys_file_is_read_again(team: Program) -> None:
    file = team.directory / "keys.yaml"
    file.write_text("keys: [{name: new, key: key-of-new}]\n")
    until(lambda: ask(team, "gpt-x", "x-api-key: key-of-new")[0] == 200, "the new key")
    file.write_text("keys: [{name: new}]\n")
    until(lambda: "the known keys stay: keys.yaml:1:8" in team.err, "the reason")
    assert ask(team, "gpt-x", "x-api-key: key-of-new")[0] == 200
    file.write_text("keys: []\n")
    until(lambda: ask(team, "gpt-x", "x-api-key: key-of-new")[0] == 401, "the key to go")


@pytest.mark.ledger("C12")
def test_the_start_says_who_may_use_it(team: Program, tmp_path: Path) -> None:
    assert "  clients      6 keys (keys.yaml)" in team.out
    config = "server: {host: 0.0.0.0}\nproviders: [{name: main, type: openai, api_key: k}]\n"
    warning = "everybody who can reach 0.0.0.0 can use the key of provider 'main'; give clients keys"
    (tmp_path / "open.yaml").write_text(config)
    (tmp_path / "keys.yaml").write_text(config + "auth: {keys: [{name: a, key: key-of-a}]}\n")
    checked = run("validate-config", "open.yaml", "keys.yaml", cwd=tmp_path)
    assert checked.stdout == "open.yaml: OK\nkeys.yaml: OK (clients: 1 key)\n"
    assert checked.stderr.count(warning) == 1


def test_s1_a_key_in_its_own_header(team: Program) -> None:
    """The example of the requirements, word by word."""
    with team.client() as client:
        body = b'{"model": "gpt-3.5-turbo", "messages": [{"role": "user", "content": "Hello!"}]}'
        client.request("POST", CHAT, "Content-Type: application/json", f"X-API-Key: {CI}", body=body)
        assert client.read_answer().json["choices"]
