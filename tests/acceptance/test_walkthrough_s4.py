"""A description that llmproxy fulfils, from top to bottom: the small chat endpoint with a stub and Ollama."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import vendors
from tests.support.internet import Internet
from tests.support.program import Program

ENV = """
# Default provider if no mapping matches (stub|ollama). Defaults to stub.
LLM_PROVIDER=stub

# Map model names/prefixes to providers. Exact match or prefix* supported.
MODEL_PROVIDER_MAP=gpt-4=ollama,local-*=stub

# OpenAI-compatible provider settings (used when provider is "ollama").
OPENAI_COMPAT_BASE_URL=http://localhost:11434/v1
OPENAI_COMPAT_API_KEY=

# CORS allowed origins (comma-separated). Defaults to *
CORS_ALLOW_ORIGINS=http://localhost:3000

# Request logging
LOG_REQUESTS=false
LOG_LEVEL=INFO

# Max request body size in bytes (0 disables check)
MAX_REQUEST_BYTES=0

# Rate limiting
RATE_LIMIT_ENABLED=false
RATE_LIMIT_WINDOW_SECONDS=60
RATE_LIMIT_MAX_REQUESTS=60
"""
ASK: dict[str, Any] = {"model": "my-model", "messages": [{"role": "user", "content": "hello"}]}
FAULTY = """
from llmproxy.middleware.base import Middleware


class Faulty(Middleware):
    async def on_request(self, exchange):
        raise KeyError("an inner secret")
"""
AUTHORIZATION = "Authorization: Bearer sk-client"


@pytest.fixture(scope="module")
def program(lasting_internet: Internet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    home = tmp_path_factory.mktemp("s4")
    (home / ".env").write_text(ENV)
    with Program(home, extra=lasting_internet.environment) as program:
        yield program


@pytest.mark.ledger("H7")
def test_healthz_has_exactly_this_shape(program: Program) -> None:
    page = program.get("/healthz").json
    assert page.pop("uptime_seconds") >= 0 and page.pop("version")
    assert page == {
        "status": "ok",
        "rate_limit": {"enabled": False, "window_seconds": 60, "max_requests": 60},
        "logging": {"enabled": False, "level": "INFO"},
        "cors": {"allow_origins": ["http://localhost:3000"]},
    }


@pytest.mark.ledger("H6")
def test_proxy_answers_like_chat_completions(program: Program) -> None:
    answer = program.post("/proxy", ASK, AUTHORIZATION)
    assert answer.status == 200
    assert answer.json["choices"][0]["message"]["content"] == "stub response"
    assert set(answer.json["usage"]) == {"prompt_tokens", "completion_tokens", "total_tokens"}
    assert program.post("/proxy", ASK).status == 401


@pytest.mark.ledger("H6")
@pytest.mark.parametrize("path", ["/proxy", "/proxy/stream"])
@pytest.mark.parametrize(
    ("messages", "status"),
    [
        ([], 400),
        ([{"role": "robot", "content": "x"}], 400),
        ([{"role": "user", "content": ""}], 400),
        ([{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}], 400),
        ([{"role": "user", "content": "x"}, {"role": "system", "content": "y"}], 200),
    ],
)
def test_conversations_are_validated(program: Program, path: str, messages: object, status: int) -> None:
    assert program.post(path, {**ASK, "messages": messages}, AUTHORIZATION).status == status


@pytest.mark.ledger("H6")
def test_the_stream_is_lines_of_text(program: Program) -> None:
    answer = program.post("/proxy/stream", ASK, AUTHORIZATION)
    assert (answer.value("content-type") or "").startswith("text/event-stream")
    assert answer.body == b"data: stub \n\ndata: response\n\ndata: [DONE]\n\n"


@pytest.mark.ledger("H8")
@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_there_are_interactive_docs(program: Program, path: str) -> None:
    answer = program.get(path)
    assert answer.status == 200 and b"openapi.json" in answer.body
    assert {"/proxy", "/proxy/stream", "/healthz"} <= set(program.get("/openapi.json").json["paths"])


@pytest.mark.ledger("O1")
def test_metrics_have_these_names_and_labels(program: Program) -> None:
    program.post("/proxy", ASK, AUTHORIZATION)
    text = program.get("/metrics").body.decode()
    labels = r'\{method="POST",path="/proxy",status="200"\}'
    assert re.search(rf"^http_requests_total{labels} [1-9]", text, re.MULTILINE)
    assert re.search(r'^http_request_duration_seconds_bucket\{[^}]*path="/proxy"[^}]*\} ', text, re.MULTILINE)
    assert "# TYPE http_request_duration_seconds histogram" in text


@pytest.mark.ledger("P6")
def test_the_map_chooses_the_provider_and_the_clients_key_goes_first(program: Program, internet: Internet) -> None:
    answer = program.post("/proxy", {**ASK, "model": "gpt-4"}, AUTHORIZATION)
    assert answer.json["choices"][0]["message"]["content"] == vendors.TEXT
    (call,) = internet.calls
    assert (call.value("host"), call.path) == ("localhost:11434", "/v1/chat/completions")
    assert call.value("authorization") == "Bearer sk-client"
    for model in ("local-llama", "anything"):
        assert program.post("/proxy", {**ASK, "model": model}, AUTHORIZATION).status == 200
    assert len(internet.calls) == 1


@pytest.mark.ledger("H10")
@pytest.mark.parametrize("path", ["/proxy", "/proxy/stream"])
def test_an_unknown_model_downstream_is_a_404(program: Program, internet: Internet, path: str) -> None:
    internet.proxy.next(vendors.failure(404, "Not Found"))
    answer = program.post(path, {**ASK, "model": "gpt-4"}, AUTHORIZATION)
    assert answer.status == 404 and answer.json["error"] == "Model Not Found"
    assert answer.json["request_id"] == answer.value("x-request-id")


@pytest.mark.ledger("H9")
def test_every_response_has_a_request_id(program: Program) -> None:
    assert program.get("/healthz", "x-request-id: mine-1").value("x-request-id") == "mine-1"
    for answer in (program.get("/nowhere"), program.post("/proxy", ASK), program.get("/metrics")):
        assert answer.value("x-request-id")


@pytest.mark.ledger("A3")
def test_preflight_and_simple_requests_echo_the_origin(program: Program) -> None:
    origin = "http://localhost:3000"
    with program.client() as client:
        client.request("OPTIONS", "/proxy", f"Origin: {origin}", "Access-Control-Request-Method: POST")
        assert client.read_answer("OPTIONS").value("access-control-allow-origin") == origin
    assert program.get("/healthz", f"Origin: {origin}").value("access-control-allow-origin") == origin


@pytest.mark.ledger("H9")
@pytest.mark.parametrize("path", ["/proxy", "/proxy/stream"])
def test_an_unhandled_fault_is_a_500_with_the_id_and_nothing_else(tmp_path: Path, path: str) -> None:
    (tmp_path / "faulty.py").write_text(FAULTY)
    config = 'middlewares: [{type: "./faulty.py:Faulty"}]\n'
    with Program(tmp_path, config=config, extra={"LLM_PROVIDER": "stub"}) as program:
        program.expect_tracebacks("faulty.py")
        answer = program.post(path, ASK, AUTHORIZATION, "x-request-id: mine-2")
    assert answer.status == 500 and answer.value("x-request-id") == "mine-2"
    assert answer.json == {"error": "Internal Server Error", "request_id": "mine-2"}
