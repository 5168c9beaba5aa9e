"""A description that llmproxy fulfils, from top to bottom: routing with fallback, keys, limits and metrics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import vendors
from tests.support.internet import Internet
from tests.support.program import Program
from tests.support.tokens import SECRET, token

ENV = f"""
# API Keys
OPENAI_API_KEY=your_openai_key
ANTHROPIC_API_KEY=your_anthropic_key

# Server Settings
PROXY_API_HOST=127.0.0.1
PROXY_API_DEBUG=false
CORS_ALLOW_ORIGINS=https://app.example.com

# Rate Limiting
PROXY_API_RATE_LIMIT_REQUESTS=100
PROXY_API_RATE_LIMIT_WINDOW=60

ADMIN_KEY=the-key-of-the-admin
CLIENT_KEY=YOUR_API_KEY_of_the_client
JWT_SECRET={SECRET}
"""
CONFIG = """
providers:
  - name: "openai"
    type: "openai"
    api_key_env: "OPENAI_API_KEY"
    base_url: "https://api.openai.com/v1"
    models:
      - "gpt-4"
      - "gpt-3.5-turbo"
    enabled: true
    priority: 1  # Lower number = higher priority
  - name: "backup"
    type: "openai-compatible"
    base_url: "https://backup.example.com/v1"
    models:
      - "gpt-4"
    priority: 2
  - name: "new"
    type: "./new_provider.py:NewProvider"
    models: ["new-*"]

server: {admin_key: "${ADMIN_KEY}"}
auth:
  keys: [{name: app, key: "${CLIENT_KEY}"}]
  jwt: {secret: "${JWT_SECRET}"}
"""
NEW_PROVIDER = """
from typing import Any, Dict

from llmproxy.providers.completion import CompletionProvider


class NewProvider(CompletionProvider):
    async def create_completion(self, request: Dict[str, Any]) -> Dict[str, Any]:
        message = {"role": "assistant", "content": "from " + request["model"]}
        return {"choices": [{"message": message}], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
"""
CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {"model": "gpt-3.5-turbo", "messages": [{"role": "user", "content": "Hello!"}]}
ADMIN = "Authorization: Bearer the-key-of-the-admin"
KEY = "X-API-Key: YOUR_API_KEY_of_the_client"


@pytest.fixture(scope="module")
def program(lasting_internet: Internet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    home = tmp_path_factory.mktemp("s1")
    (home / "config.yaml").write_text(CONFIG)
    (home / ".env").write_text(ENV)
    (home / "new_provider.py").write_text(NEW_PROVIDER)
    with Program(home, extra=lasting_internet.environment) as program:
        yield program


@pytest.mark.ledger("A1")
@pytest.mark.parametrize("way", ["X-API-Key", "Bearer key", "Bearer token"])
def test_a_key_or_a_token_lets_clients_in(program: Program, internet: Internet, way: str) -> None:
    key = KEY.removeprefix("X-API-Key: ")
    jwt = token(SECRET, iss=None, aud=None)
    header = {"X-API-Key": KEY, "Bearer key": f"Authorization: Bearer {key}"}.get(way, f"Authorization: Bearer {jwt}")
    answer = program.post(CHAT, ASK, header)
    assert answer.json["choices"][0]["message"]["content"] == vendors.TEXT
    (call,) = internet.calls
    assert call.value("host") == "api.openai.com" and call.value("authorization") == "Bearer your_openai_key"
    assert key.encode() not in call.head and jwt.encode() not in call.head


@pytest.mark.ledger("A1")
def test_nobody_else_comes_in(program: Program, internet: Internet) -> None:
    for headers in ((), ("X-API-Key: wrong",), ("Authorization: Bearer wrong",)):
        answer = program.post(CHAT, ASK, *headers)
        assert answer.status == 401 and answer.json["error"]["message"]
    assert not internet.calls


@pytest.mark.ledger("L1")
def test_the_next_provider_answers_when_the_first_fails(program: Program, internet: Internet) -> None:
    internet.cloud.next(vendors.failure(503, "Out"))
    assert program.post(CHAT, {**ASK, "model": "gpt-4"}, KEY).status == 200
    assert [each.value("host") for each in internet.calls] == ["api.openai.com", "backup.example.com"]


@pytest.mark.ledger("A2")
def test_limits_are_those_of_the_environment(program: Program, internet: Internet) -> None:
    answer = program.post(CHAT, ASK, KEY)
    assert answer.value("x-ratelimit-limit-requests") == "100"
    assert int(answer.value("x-ratelimit-remaining-requests") or -1) < 100


@pytest.mark.ledger("O2")
def test_metrics_are_json_for_those_who_ask_for_it(program: Program, internet: Internet) -> None:
    internet.cloud.next(vendors.failure(429, "Too Many Requests"))
    program.post(CHAT, {**ASK, "model": "gpt-3.5-turbo"}, KEY)
    figures = program.get("/metrics", "Accept: application/json", ADMIN).json["openai"]
    assert {"total_requests", "success_rate", "avg_response_time", "error_counts"} <= set(figures)
    assert figures["total_requests"] >= 1 and figures["error_counts"]["http_429"] >= 1


@pytest.mark.ledger("H3")
def test_health_models_and_providers(program: Program, internet: Internet) -> None:
    assert program.get("/health").json["status"] == "ok"
    models = {each["id"] for each in program.get("/v1/models", KEY).json["data"]}
    assert {"gpt-4", "gpt-3.5-turbo"} <= models
    page = program.get("/providers", ADMIN)
    assert [each["name"] for each in page.json["providers"]] == ["openai", "backup", "new"]
    assert b"your_openai_key" not in page.body


@pytest.mark.ledger("A4")
@pytest.mark.parametrize("body", [b"{", b"[]", b'{"model": 5}'])
def test_a_body_that_is_no_request_is_refused_in_words(program: Program, internet: Internet, body: bytes) -> None:
    with program.client() as client:
        client.request("POST", CHAT, KEY, "Content-Type: application/json", body=body)
        answer = client.read_answer()
    assert answer.status == 400 and answer.json["error"]["message"] and answer.value("x-request-id")
    assert not internet.calls


@pytest.mark.ledger("A3")
def test_the_environment_names_the_origins(program: Program) -> None:
    origin = "https://app.example.com"
    assert program.get("/health", f"Origin: {origin}").value("access-control-allow-origin") == origin


@pytest.mark.ledger("A5")
def test_own_answers_have_secure_headers(program: Program) -> None:
    answer = program.get("/health")
    assert answer.value("x-content-type-options") == "nosniff" and answer.value("x-frame-options") == "DENY"


@pytest.mark.ledger("P3")
def test_a_provider_of_ones_own_is_one_class(program: Program, internet: Internet) -> None:
    answer = program.post(CHAT, {**ASK, "model": "new-1"}, KEY)
    assert answer.json["choices"][0]["message"]["content"] == "from new-1"
    assert not internet.calls
