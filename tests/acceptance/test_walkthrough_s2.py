"""A description that llmproxy fulfils, from top to bottom: middlewares, traces and sessions before one API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import vendors
from tests.support.internet import Internet
from tests.support.program import Program, run
from tests.support.waiting import until

CONFIG = """
server:
  port: 3000
  host: "0.0.0.0"

llm:
  base_url: "https://api.openai.com"
  type: "openai"
  api_key: "sk-your-key-here"

session:
  enabled: true
  max_sessions: 10000
  session_ttl_seconds: 3600

middlewares:
  - type: "trace"
    enabled: true
    config:
      directory: "./traces"
      include_headers: true
      include_body: true
      max_body_size: 1048576  # 1MB
  - type: "printer"
    enabled: true
    config:
      log_requests: true
      log_responses: true
      log_body: false
"""
CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {"model": "gpt-3.5-turbo", "messages": [{"role": "user", "content": "Hello!"}]}


@pytest.fixture(scope="module")
def program(lasting_internet: Internet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    home = tmp_path_factory.mktemp("s2")
    (home / "config.yaml").write_text(CONFIG)
    arguments = ("--config", "config.yaml", "--host", "127.0.0.1")
    with Program(home, *arguments, extra=lasting_internet.environment) as program:
        yield program


@pytest.mark.ledger("C1")
def test_three_flags_run_it(tmp_path: Path, internet: Internet) -> None:
    flags = ("--base-url", "https://api.openai.com", "--type", "openai", "--api-key", "sk-your-key")
    with Program(tmp_path, *flags, extra=internet.environment) as program:
        assert program.post(CHAT, ASK).json["choices"][0]["message"]["content"] == vendors.TEXT
    (call,) = internet.calls
    assert (call.value("host"), call.path) == ("api.openai.com", CHAT)
    assert call.value("authorization") == "Bearer sk-your-key"


@pytest.mark.ledger("C9")
def test_three_variables_run_it_too(tmp_path: Path, internet: Internet) -> None:
    extra = {"LLM_BASE_URL": "https://api.openai.com", "LLM_TYPE": "openai", "LLM_API_KEY": "sk-your-key-here"}
    with Program(tmp_path, extra={**internet.environment, **extra, "LOG_LEVEL": "DEBUG"}) as program:
        assert program.post(CHAT, ASK).status == 200
    assert internet.calls[0].value("authorization") == "Bearer sk-your-key-here"


@pytest.mark.ledger("T1")
def test_a_stream_comes_as_the_provider_sends_it(program: Program, internet: Internet) -> None:
    answer = program.post(CHAT, {**ASK, "stream": True})
    assert answer.body == b"".join(vendors.chat_frames("gpt-3.5-turbo"))
    assert json.loads(internet.calls[0].body) == {**ASK, "stream": True}


@pytest.mark.ledger("C13")
def test_the_two_older_flags_are_commands(tmp_path: Path) -> None:
    assert run("--generate-config", "example.yaml", cwd=tmp_path).returncode == 0
    (tmp_path / "config.yaml").write_text(CONFIG)
    for name in ("example.yaml", "config.yaml"):
        assert run("--validate-config", name, cwd=tmp_path).returncode == 0


@pytest.mark.ledger("M2")
def test_traces_are_timestamped_json_without_the_key(program: Program, internet: Internet) -> None:
    assert program.post(CHAT, ASK, "x-request-id: walk-trace").status == 200

    def written() -> list[str]:
        files = (program.directory / "traces").rglob("*.json")
        return [text for text in (each.read_text(encoding="utf-8") for each in files) if "walk-trace" in text]

    (text,) = until(written, "the record")
    record = json.loads(text)
    assert record["request"]["headers"] and record["request"]["body"] == ASK
    assert record["status"] == 200 and "sk-your-key-here" not in text


@pytest.mark.ledger("M3")
def test_the_printer_prints_a_line(program: Program, internet: Internet) -> None:
    seen = len(program.out)
    program.post(CHAT, {**ASK, "model": "gpt-printed"})
    until(lambda: "gpt-printed" in program.out[seen:], "the line of the printer")


@pytest.mark.ledger("H7")
def test_health_and_config_show_the_state_and_no_secret(program: Program) -> None:
    assert program.get("/health").json["status"] == "ok"
    page = program.get("/config")
    assert [each["type"] for each in page.json["middlewares"]] == ["trace", "printer", "sessions"]
    assert b"sk-your-key-here" not in page.body


@pytest.mark.ledger("H5")
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_every_path_and_method_is_relayed(program: Program, internet: Internet, method: str) -> None:
    with program.client() as client:
        client.request(method, "/any/path?x=1", body=None if method == "GET" else b"raw")
        client.read_answer(method)
    call = internet.cloud.only
    assert (call.method, call.target.decode().endswith("/any/path?x=1")) == (method, True)


@pytest.mark.ledger("X4")
def test_metrics_have_the_figures_of_sessions(program: Program, internet: Internet) -> None:
    first = {"role": "user", "content": "A conversation of its own"}
    answer = program.post(CHAT, {**ASK, "messages": [first]})
    turn = [first, answer.json["choices"][0]["message"], {"role": "user", "content": "Go on"}]
    again = program.post(CHAT, {**ASK, "messages": turn})
    assert again.value("x-llmproxy-session") == answer.value("x-llmproxy-session")
    figures = program.get("/metrics/json").json["sessions"]
    for name in ("active", "created", "creation_rate_per_minute", "hits", "misses", "hit_rate", "fuzzy_matches"):
        assert name in figures, (name, figures)
    assert figures["active"] >= 1
