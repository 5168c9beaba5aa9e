"""A program with client keys: who comes in, with which SDK, and what each may do."""

from __future__ import annotations

import json
from collections.abc import Iterator
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
from tests.support.waiting import until

CHAT = "/v1/chat/completions"
ADMIN = "an-admin-key"
CI, GPT, CLAUDE, OLD, RELAY, OTHER = (
    "key-of-ci",
    "key-of-gpt",
    "key-of-claude",
    "key-of-old",
    "key-of-relay",
    "key-of-two",
)
KEYS = (CI, GPT, CLAUDE, OLD, RELAY, OTHER, ADMIN)
HELLO: list[dict[str, Any]] = [{"role": "user", "content": "Hello"}]

pytestmark = pytest.mark.ledger("A1")


@pytest.fixture(scope="module")
def lasting_team(lasting_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    url = lasting_upstream.url
    config = f"""
server: {{admin_key: {ADMIN}, trusted_proxies: [127.0.0.1]}}
auth:
  mode: keys
  keys:
    - {{name: ci, key: {CI}}}
    - {{name: two, key: {OTHER}}}
    - {{name: gpt, key: "${{GPT_KEY}}", models: ["gpt-*", "gemini-*"]}}
    - {{name: claude, key: {CLAUDE}, providers: [claude]}}
    - {{name: old, key: {OLD}, expires: "2020-01-01"}}
    - {{name: relay, key: {RELAY}, models: ["gpt-*"], relay: true}}
  keys_file: keys.yaml
providers:
  - {{name: main, type: openai, base_url: "{url}/v1", api_key: ours, models: ["gpt-*", "gemini-*", "us.*"]}}
  - {{name: claude, type: anthropic, base_url: "{url}", api_key: ours, models: ["claude-*"]}}
  - {{name: own, type: openai, base_url: "{url}/v1", models: ["own-*"]}}
  - {{name: pass, type: openai, base_url: "{url}/v1", api_key: ours, auth: passthrough, models: ["pass-*"]}}
models:
  - {{name: both, targets: [main/gpt-x, claude/claude-x]}}
  - {{name: secret-model, targets: [main/gpt-x]}}
middlewares:
  - {{type: trace, config: {{directory: ./traces, include_headers: true}}}}
"""
    home = tmp_path_factory.mktemp("team")
    (home / "keys.yaml").write_text("keys: []\n")
    with Program(home, "serve", config=config, extra={"GPT_KEY": GPT}) as program:
        yield program


@pytest.fixture
def team(lasting_team: Program, upstream: Upstream) -> Program:
    return lasting_team


def ask(program: Program, model: str, *headers: str, path: str = CHAT) -> tuple[int, Any]:
    answer = program.post(path, {"model": model, "messages": HELLO, "max_tokens": 9}, *headers)
    return answer.status, answer.json


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


@pytest.mark.parametrize(
    ("key", "model", "path", "status"),
    [
        (GPT, "gpt-x", CHAT, 200),
        (GPT, "main/gpt-x", CHAT, 200),
        (GPT, "gpt-x", "/main/v1/chat/completions", 200),
        (GPT, "claude-x", CHAT, 403),
        (GPT, "claude/gpt-x", "/v1/messages", 200),
        (GPT, "both", CHAT, 403),
        (GPT, "secret-model", CHAT, 403),
        (GPT, "unknown-model", CHAT, 403),
        (GPT, "gpt-x/../claude-x", CHAT, 200),
        (GPT, "own-x", "/main/v1/chat/completions", 403),
        (GPT, "claude-x", "/openai/chat/completions", 403),
        (GPT, "claude-x", "/openai-proxy/chat/completions", 403),
        (GPT, "gpt-x", "/main/v1/unheard-of", 403),
        (GPT, "gpt-x", "/v1/files", 403),
        (GPT, "gpt-x", "/v1/messages/batches", 403),
        (RELAY, "gpt-x", "/main/v1/unheard-of", 404),
        (RELAY, "claude-x", CHAT, 403),
        (CLAUDE, "both", CHAT, 200),
        (CLAUDE, "claude-x", "/claude/v1/messages", 200),
        (CLAUDE, "gpt-x", CHAT, 403),
        (CLAUDE, "gpt-x", "/main/v1/chat/completions", 403),
        (CLAUDE, "x", "/claude/v1/unheard-of", 403),
    ],
)
def test_a_restricted_key_reaches_what_it_may(
    team: Program, upstream: Upstream, key: str, model: str, path: str, status: int
) -> None:
    assert ask(team, model, f"Authorization: Bearer {key}", path=path)[0] == status
    assert bool(upstream.requests) is (status in (200, 404))
    if key == CLAUDE and upstream.requests:
        assert upstream.only.path == "/v1/messages"


@pytest.mark.parametrize(
    "target",
    [
        "/v1beta/models/gemini-x%2F..%2Fclaude-x:generateContent",
        "/v1beta/models/claude-x:generateContent",
        "/v1beta/models/gemini-x:generateContent/../claude-x:generateContent",
        "/v1beta//models/claude-x:generateContent",
        "/model/claude-x/converse",
        "/model/gpt-x%2F..%2Fclaude-x/converse",
        "/main/..%2fclaude/v1/messages",
        "//claude/v1/messages",
        "http://localhost/model/claude-x/converse",
    ],
)
def test_no_path_reaches_another_model(team: Program, upstream: Upstream, target: str) -> None:
    with team.client() as client:
        client.request("POST", target, f"x-api-key: {GPT}", "Content-Type: application/json", body=b'{"contents": []}')
        assert client.read_answer().status in (400, 403, 404)
    assert not upstream.requests


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "claude-x", "model": "gpt-x", "messages": []}',
        b'{"model": "gpt-x", "Model": "claude-x", "messages": []}',
        b'{"model": "gpt-x", "models": ["gpt-y", "claude-x"], "messages": []}',
        b'{"model": null, "messages": []}',
        b'{"messages": []}',
        b"[]",
        b"model=gpt-x",
    ],
)
@pytest.mark.parametrize("path", [CHAT, "/main/v1/chat/completions"])
def test_no_body_reaches_another_model(team: Program, upstream: Upstream, path: str, body: bytes) -> None:
    with team.client() as client:
        client.request("POST", path, f"x-api-key: {GPT}", "Content-Type: application/json", body=body)
        assert client.read_answer().status in (400, 403)
    assert not upstream.requests


def test_only_what_a_key_may_use_is_listed(team: Program) -> None:
    def names(key: str) -> set[str]:
        return {each["id"] for each in team.get("/v1/models", f"x-api-key: {key}").json["data"]}

    everything = names(CI)
    assert {"both", "secret-model"} <= everything
    assert all(name.split("/")[-1].startswith(("gpt-", "gemini-")) for name in names(GPT))
    assert names(CLAUDE) == {name for name in everything if name == "both" or "claude" in name}
    for key, model, status in ((GPT, "both", 404), (GPT, "claude-x", 404), (CLAUDE, "both", 200), (CI, "both", 200)):
        assert team.get(f"/v1/models/{model}", f"x-api-key: {key}").status == status


def test_names_of_other_models_are_not_told(team: Program) -> None:
    status, body = ask(team, "gpt", f"x-api-key: {GPT}")
    assert status == 403 and "secret-model" not in json.dumps(body)
    status, body = ask(team, "nobody-has", f"x-api-key: {CI}")
    assert status == 404 and "secret-model" in json.dumps(body)


def test_stored_responses_belong_to_the_key(team: Program) -> None:
    body = {"model": "claude/claude-x", "input": "Hi"}
    stored = team.post("/v1/responses", body, f"x-api-key: {CI}").json["id"]
    statuses = {
        key: team.get(f"/v1/responses/{stored}", f"x-api-key: {key}").status for key in (CI, OTHER, GPT, CLAUDE)
    }
    assert statuses.pop(CI) == 200
    assert set(statuses.values()) == {404}


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


def test_thousands_of_unknown_keys_cost_little(team: Program, upstream: Upstream) -> None:
    before, lines, records = (
        team.memory_bytes(),
        team.err.count("\n"),
        len(list((team.directory / "traces").rglob("*"))),
    )
    count = 0
    with team.client() as client:
        for batch in range(30):
            heads = [
                f"GET /v1/files HTTP/1.1\r\nHost: localhost\r\nx-api-key: wrong-{batch}-{number}\r\n\r\n"
                for number in range(100)
            ]
            client.send("".join(heads).encode())
            for _ in heads:
                count += client.read_answer("GET").status == 401
    assert count == 3_000
    assert team.memory_bytes() - before < 8 * 1024 * 1024
    assert team.err.count("\n") - lines <= 2, team.err
    assert len(list((team.directory / "traces").rglob("*"))) == records
    assert not upstream.requests


@pytest.mark.parametrize(
    "field",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: xchunked",
        "X: a\rb",
        "X: a\x00b",
        "X: one\r\n two",
        "Authorization: Bearer a\rb",
    ],
)
def test_a_key_does_not_help_to_smuggle(team: Program, upstream: Upstream, field: str) -> None:
    with team.client() as client:
        client.send(f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nx-api-key: {CI}\r\n{field}\r\n\r\n".encode())
        client.send(b"0\r\n\r\nGET /v1/files/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.read_answer().status in (400, 501)
    assert not upstream.requests


def test_a_request_does_not_inherit_the_key_of_the_one_before_it(team: Program, upstream: Upstream) -> None:
    body = b'{"model": "gpt-x", "messages": []}'
    heads = [
        f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n{more}\r\n"
        for more in (f"x-api-key: {CI}\r\n", "", f"x-api-key: {CI}\r\n")
    ]
    with team.client() as client:
        client.send(b"".join(head.encode() + body for head in heads))
        assert [client.read_answer().status for _ in heads[:2]] == [200, 401]
    assert len(upstream.requests) == 1


def test_a_name_that_resolves_here_is_worth_nothing_without_a_key(team: Program, upstream: Upstream) -> None:
    for headers, status in (((), 401), ((f"x-api-key: {CI}",), 200)):
        with team.client() as client:
            lines = "\r\n".join(
                ["GET /v1/models HTTP/1.1", "Host: evil.example", "Origin: http://evil.example", *headers]
            )
            client.send(f"{lines}\r\n\r\n".encode())
            assert client.read_answer("GET").status == status


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
