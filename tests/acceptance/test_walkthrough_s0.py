"""A description that llmproxy fulfils, from top to bottom: a Python program that relays to clouds by prefix."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator

import pytest

from tests.support import vendors
from tests.support.internet import Internet
from tests.support.program import Program
from tests.support.redis_server import free_port
from tests.support.waiting import PATIENCE_S, until

SCRIPT = """
from llmproxy import create_app

# Create the app with telemetry enabled (default)
app = create_app({config}, enable_telemetry=True, prometheus_port={metrics})

# Run the app
if __name__ == '__main__':
    app.run(host='0.0.0.0', port={port}, debug=True)
"""
# What is there beside the keys of the environment: an audit log, and a hook of one's own.
CONFIG = {"middlewares": [{"type": "audit"}, {"type": "./hook.py:Hook"}]}
HOOK = """
from llmproxy.middleware.base import Middleware


class Hook(Middleware):
    def on_end(self, exchange):
        print("hook:", exchange.path, exchange.status, flush=True)
"""
KEYS = {
    "OPENAI_API_KEY": "sk-your-api-key",
    "AZURE_OPENAI_API_KEY": "azure-key",
    "AZURE_OPENAI_ENDPOINT": "https://mine.openai.azure.com",
    "AWS_ACCESS_KEY_ID": "AKIDYOURACCESSKEY",
    "AWS_SECRET_ACCESS_KEY": "your-secret-key",
    "AWS_REGION": "us-east-1",
    "GOOGLE_GENAI_USE_VERTEXAI": "true",
    "GOOGLE_API_KEY": "google-key",
}
MESSAGES = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "What is the capital of France?"},
]


@pytest.fixture(scope="module")
def metrics_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def program(
    lasting_internet: Internet, metrics_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    home = tmp_path_factory.mktemp("s0")
    (home / "hook.py").write_text(HOOK)
    (home / "app.py").write_text(SCRIPT.format(config=json.dumps(CONFIG), metrics=metrics_port, port=free_port()))
    environment = {**lasting_internet.environment, **KEYS}
    with Program.of([sys.executable, "app.py"], home, extra=environment) as program:
        yield program


@pytest.mark.ledger("H1")
def test_openai_below_its_prefix(program: Program, internet: Internet) -> None:
    answer = program.post("/openai/chat/completions", {"model": "gpt-4o", "messages": MESSAGES})
    assert answer.json["choices"][0]["message"]["content"] == vendors.TEXT
    (call,) = internet.calls
    assert (call.value("host"), call.path) == ("api.openai.com", "/v1/chat/completions")
    assert call.value("authorization") == "Bearer sk-your-api-key"


@pytest.mark.ledger("H2")
def test_bedrock_through_the_interface_of_openai(program: Program, internet: Internet) -> None:
    body = {"model": "bedrock/anthropic.claude-3-sonnet-20240229", "messages": MESSAGES}
    answer = program.post("/openai-proxy/chat/completions", body)
    assert answer.json["object"] == "chat.completion" and answer.json["choices"][0]["message"]["content"]
    (call,) = internet.calls
    assert call.value("host") == "bedrock-runtime.us-east-1.amazonaws.com"
    assert "anthropic.claude-3-sonnet-20240229" in call.path
    assert (call.value("authorization") or "").startswith("AWS4-HMAC-SHA256 Credential=AKIDYOURACCESSKEY/")


@pytest.mark.ledger("P5")
@pytest.mark.parametrize(
    ("path", "host", "arrives", "header", "value"),
    [
        ("/azure/openai/v1/files?x=1", "mine.openai.azure.com", "/openai/v1/files?x=1", "api-key", "azure-key"),
        (
            "/vertex/v1/publishers/google/models/gemini-2.5-flash:generateContent",
            "aiplatform.googleapis.com",
            "/v1/publishers/google/models/gemini-2.5-flash:generateContent",
            "x-goog-api-key",
            "google-key",
        ),
    ],
)
def test_clouds_below_their_prefixes(
    program: Program, internet: Internet, path: str, host: str, arrives: str, header: str, value: str
) -> None:
    program.post(path, {"anything": True})
    (call,) = internet.calls
    assert (call.value("host"), call.target.decode(), call.value(header)) == (host, arrives, value)


@pytest.mark.ledger("T1")
def test_streams_are_relayed(program: Program, internet: Internet) -> None:
    answer = program.post("/openai/chat/completions", {"model": "gpt-4o", "messages": MESSAGES, "stream": True})
    assert answer.body == b"".join(vendors.chat_frames("gpt-4o"))


@pytest.mark.ledger("T2")
def test_the_hook_comes_after_the_answer_and_the_audit_has_a_line(program: Program, internet: Internet) -> None:
    answer = program.post("/openai/chat/completions", {"model": "gpt-audited", "messages": MESSAGES})
    until(lambda: "hook: /chat/completions 200" in program.out, "the hook after the response")
    audit = program.directory / "audit.jsonl"
    text = until(lambda: audit.read_text() if audit.exists() and "gpt-audited" in audit.read_text() else "", "a line")
    (line,) = (json.loads(each) for each in text.splitlines() if "gpt-audited" in each)
    assert answer.value("x-request-id") in line.values()


@pytest.mark.ledger("O3")
def test_metrics_have_a_port_of_their_own(program: Program, internet: Internet, metrics_port: int) -> None:
    for stream in (False, True):
        program.post("/openai/chat/completions", {"model": "gpt-4o", "messages": MESSAGES, "stream": stream})
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics", timeout=PATIENCE_S) as answer:
        text = answer.read().decode()
    for name in ("llmproxy_provider_requests_total", "llmproxy_provider_request_duration_seconds_bucket"):
        assert f"\n{name}{{" in text, name
    for label in ('provider="openai"', 'stream="true"', 'stream="false"'):
        assert label in text, label


@pytest.mark.ledger("C14")
def test_debug_logs_decisions(program: Program, internet: Internet) -> None:
    program.post("/openai/chat/completions", {"model": "gpt-4o", "messages": MESSAGES}, "x-request-id: walk-debug")
    until(lambda: "walk-debug" in program.err, "a line about the decision")
    assert "sk-your-api-key" not in program.out + program.err
