from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from llmproxy.cli.explain import read_dialect
from tests.support.program import Program, run

REQUEST: dict[str, Any] = {
    "model": "gpt-4o",
    "temperature": 0.5,
    "seed": 7,
    "messages": [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Grüß Gott"}],
}
CONFIG = """
providers:
  - {name: claude, type: anthropic, base_url: "https://claude.test?token=t0ps3cret", api_key: sk-secret-key}
  - {name: local, type: ollama, base_url: "http://local.test:1234/v1", models: ["llama*"]}
models:
  - {name: smart, targets: [claude/claude-haiku-4-5, local/llama-y]}
"""

PATHS = ("/v1/files", "/v1/audio/transcriptions", "/claude/v1/files")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "request.json"
    path.write_text(json.dumps(REQUEST), encoding="utf-8")
    return path


def test_a_request_is_shown_translated_with_its_losses(tmp_path: Path, file: Path) -> None:
    done = run("translate", "--from", "chat", "--to", "messages", str(file), cwd=tmp_path)
    assert done.returncode == 0
    shown = json.loads(done.stdout)
    assert shown["system"] and shown["messages"] == [{"role": "user", "content": "Grüß Gott"}]
    assert shown["max_tokens"] and shown["temperature"] == 0.5
    assert done.stderr == "dropped: seed\n"


def test_the_translated_request_and_its_losses_are_one_object_in_json(tmp_path: Path, file: Path) -> None:
    done = run(
        "translate",
        "--from",
        "chat",
        "--to",
        "messages",
        str(file),
        "--json",
        "--model",
        "claude-haiku-4-5",
        cwd=tmp_path,
    )
    shown = json.loads(done.stdout)
    assert (shown["request"]["model"], shown["dropped"], done.stderr) == ("claude-haiku-4-5", ["seed"], "")


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (REQUEST, ["--strict"], "seed"),
        (REQUEST | {"messages": "Hi"}, [], "messages must be an array"),
        (REQUEST | {"n": 3}, [], "n: "),
        ("{", [], "not valid JSON"),
        (None, [], "no such file"),
    ],
)
def test_what_cannot_be_translated_ends_with_a_reason(
    tmp_path: Path, content: object, arguments: list[str], message: str
) -> None:
    file = tmp_path / "x.json"
    if content is not None:
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    done = run("translate", "--from", "chat", "--to", "messages", str(file), *arguments, cwd=tmp_path)
    assert done.returncode in (1, 2) and done.stdout == ""
    assert message in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "dialect", "message"),
    [
        ("chat", "chat", ""),
        ("anthropic", "messages", ""),
        ("gemini", "gemini", ""),
        ("openai", None, "'openai' speaks several dialects; choose chat or responses."),
        ("latin", None, "Unknown dialect 'latin'; choose chat, responses, messages, gemini or converse."),
    ],
)
def test_a_dialect_has_also_the_name_of_a_type_that_speaks_no_other(
    name: str, dialect: str | None, message: str
) -> None:
    if dialect is not None:
        assert read_dialect(name) == dialect
        return
    with pytest.raises(typer.BadParameter) as caught:
        read_dialect(name)
    assert str(caught.value) == message


def test_who_answers_a_model_is_explained_for_each_dialect(tmp_path: Path) -> None:
    (tmp_path / "llmproxy.yaml").write_text(CONFIG)
    done = run("explain", "smart", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    chat = done.stdout.partition("chat: POST /v1/chat/completions")[2].partition("\nmessages: ")[0]
    first, _, second = chat.partition("2. ")
    assert "route smart" in first and "1. claude (anthropic), model claude-haiku-4-5" in first
    assert "POST https://claude.test/v1/messages" in first and "translated into messages" in first
    assert "POST http://local.test:1234/v1/chat/completions" in second and "relayed unchanged" in second
    assert "model llama-y" in second
    messages = done.stdout.partition("\nmessages: POST")[2]
    assert "relayed unchanged" in messages.partition("2. ")[0]
    same = "gemini: POST /v1/models/smart:generateContent\nconverse: POST /model/smart/converse\n  route smart\n"
    assert same in done.stdout, "what is the same is shown once"
    assert "t0ps3cret" not in done.stdout and "sk-secret" not in done.stdout


def test_what_would_be_dropped_of_a_request_is_shown_for_each_target(tmp_path: Path, file: Path) -> None:
    (tmp_path / "llmproxy.yaml").write_text(CONFIG)
    done = run("explain", "smart", "--dialect", "chat", "--request", str(file), cwd=tmp_path)
    first, _, second = done.stdout.partition("2. ")
    assert "dropped: seed" in first and "dropped" not in second
    file.write_text(json.dumps(REQUEST | {"n": 2}))
    done = run("explain", "smart", "--dialect", "chat", "--request", str(file), cwd=tmp_path)
    assert "refused with 400" in done.stdout and "n: " in done.stdout


def test_a_model_that_nobody_answers_is_reported(tmp_path: Path) -> None:
    (tmp_path / "llmproxy.yaml").write_text(CONFIG)
    done = run("explain", "gpt-9", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("llmproxy: Unknown model 'gpt-9'. ") and done.stderr.count("Unknown model") == 1


@pytest.mark.parametrize("arguments", [["smart", "--request", "x.json"], ["smart", "--dialect", "latin"], []])
def test_wrong_usage_ends_with_2(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "llmproxy.yaml").write_text(CONFIG)
    done = run("explain", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_a_mistake_in_the_configuration_is_reported(tmp_path: Path) -> None:
    (tmp_path / "llmproxy.yaml").write_text("providers: 5\n")
    done = run("explain", "smart", cwd=tmp_path)
    assert done.returncode == 1 and "providers" in done.stderr


def test_health_and_order_are_those_of_the_running_server(tmp_path: Path) -> None:
    config = """
providers:
  - {name: a, type: openai, base_url: "http://127.0.0.1:9", api_key: k, models: []}
  - {name: b, type: stub, models: []}
routing: {breaker: {failures: 1, recovery: 1h}}
models: [{name: smart, targets: [a/x, {provider: b, model: y, weight: 0}, b/z]}]
"""
    (tmp_path / "llmproxy.yaml").write_text(config)
    done = run("explain", "smart", "--dialect", "chat", cwd=tmp_path)
    assert "  strategy priority, order now: a/x, b/z, b/y\n" in done.stdout and "calls under way" not in done.stdout
    with Program(tmp_path) as program:
        assert program.post("/v1/chat/completions", {"model": "smart", "messages": []}).status == 200
        done = run("explain", "smart", "--dialect", "chat", cwd=tmp_path)
    assert "  strategy priority, order now: b/z, b/y\n" in done.stdout
    assert "     out, next try in " in done.stdout and "     healthy, 0 calls under way" in done.stdout


def test_all_dialects_show_the_same_turn(tmp_path: Path) -> None:
    (tmp_path / "llmproxy.yaml").write_text(
        "providers: [{name: a, type: stub}, {name: b, type: stub}]\n"
        "models: [{name: m, strategy: round_robin, targets: [a, b]}]\n"
    )
    lines = [line for line in run("explain", "m", cwd=tmp_path).stdout.splitlines() if "order now" in line]
    assert len(lines) > 1 and set(lines) == {"  strategy round_robin, order now: a, b"}


def test_a_path_without_a_model_is_explained(tmp_path: Path) -> None:
    (tmp_path / "llmproxy.yaml").write_text(CONFIG, encoding="utf-8")
    shown = {path: run("explain", path, cwd=tmp_path).stdout.splitlines() for path in PATHS}
    assert shown["/v1/files"] == [
        "GET /v1/files",
        "  1. the provider that made what the request names, where that is known",
        "  2. the provider in the header x-llmproxy-provider",
        "  3. local (ollama)",
        "     claude (anthropic), for clients of the dialect messages",
    ]
    assert shown["/v1/audio/transcriptions"][1:2] + shown["/v1/audio/transcriptions"][-1:] == [
        "  by the model that the request names: llmproxy explain MODEL",
        "  3. local (ollama)",
    ]
    assert shown["/claude/v1/files"] == ["GET /claude/v1/files", "  claude (anthropic), which the path names"]
    nowhere = run("explain", "/v1/nowhere", cwd=tmp_path)
    assert nowhere.returncode == 1 and "Not found: GET '/v1/nowhere'" in nowhere.stderr


def test_the_url_of_a_deployment_has_its_own_name(tmp_path: Path) -> None:
    config = """
providers: [{name: az, type: azure, base_url: "https://az.test", api_key: k, api_version: "2024-10-21"}]
models:
  - {name: gpt-4o, targets: [{provider: az, model: eu-4o}]}
"""
    (tmp_path / "llmproxy.yaml").write_text(config, encoding="utf-8")
    shown = run("explain", "gpt-4o", cwd=tmp_path).stdout
    assert (
        "POST https://az.test/openai/deployments/eu-4o/chat/completions?api-version=2024-10-21\n     relayed" in shown
    )
    assert "deployments/gpt-4o" not in shown
