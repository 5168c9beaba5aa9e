"""`llmproxy lint` says what a model refuses before anybody pays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import run

TURN = [{"role": "user", "content": "x"}]


@pytest.mark.parametrize(
    ("dialect", "model", "members", "code", "lines"),
    [
        ("chat", "claude-sonnet-5", {"seed": 1}, 0, ["dropped: seed"]),
        ("chat", "claude-opus-4-6", {"reasoning_effort": "xhigh"}, 0, ["approximated: reasoning_effort", "sent: max"]),
        ("chat", "gpt-5", {"temperature": 0.5}, 1, ["refused: temperature"]),
        ("chat", "gpt-4o", {"temperature": 0.5}, 0, []),
        ("messages", "gpt-5", {"max_tokens": 50, "temperature": 0.5}, 0, ["dropped: temperature: gpt-5 has no"]),
        ("messages", "claude-opus-5-5", {"max_tokens": 50, "thinking": {"type": "disabled"}}, 1, ["always thinks"]),
        ("messages", "claude-opus-5", {"max_tokens": 50, "temperature": 1}, 1, ["refused: temperature"]),
        ("chat", "claude-opus-5", {"messages": [*TURN, {"role": "assistant", "content": "y"}]}, 1, ["messages[1]"]),
        ("chat", "llama3", {"temperature": 0.5}, 0, []),
    ],
)
def test_it_says_what_a_model_will_not_have(
    tmp_path: Path, dialect: str, model: str, members: dict[str, Any], code: int, lines: list[str]
) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps({"model": "m", "messages": TURN, **members}))
    done = run("lint", str(file), "--dialect", dialect, "--model", model, cwd=tmp_path)
    assert done.returncode == code and all(line in done.stdout for line in lines) and done.stderr == ""
    assert bool(done.stdout) == bool(lines)


def test_strict_refuses_what_would_be_dropped(tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps({"model": "m", "messages": TURN, "seed": 1}))
    done = run("lint", str(file), "--dialect", "chat", "--model", "claude-opus-5", "--strict", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "refused: seed\n")


CONFIG = """
providers:
  - {name: m, type: mistral, api_key: k}
  - {name: d, type: deepseek, api_key: k}
  - {name: a, type: anthropic, api_key: k, prefill: continue}
models:
  - name: smart
    targets: [{provider: a, model: claude-opus-4-8}, {provider: m, model: mistral-small}]
  - {name: thrifty, targets: [{provider: d, model: deepseek-flash}]}
"""
CHAT = {"messages": [*TURN, {"role": "assistant", "content": "y"}], "seed": 1, "temperature": 0.5}
CHAT_LINES = [
    "a (anthropic), model claude-opus-4-8, translated into messages:",
    "dropped: temperature: claude-opus-4-8 accepts no temperature",
    "approximated: messages[1]: claude-opus-4-8 refuses a last message of the assistant; sent: a message of the user "
    "behind it",
    "dropped: seed",
    "m (mistral), model mistral-small, relayed:",
    "refused: seed: the provider has random_seed instead",
]


@pytest.mark.parametrize(
    ("arguments", "code", "lines"),
    [
        (("smart",), 1, CHAT_LINES),
        (("smart", "--provider", "a"), 0, CHAT_LINES[:4]),
        (("smart", "--provider", "a", "--strict"), 1, ["refused: seed", "refused: messages[1]"]),
        (("thrifty",), 0, ["d (deepseek), model deepseek-flash, relayed:"]),
        (("mistral/mistral-small",), 1, CHAT_LINES[-1:]),
        (("a/claude-opus-4-6",), 0, ["a (anthropic), model claude-opus-4-6, translated into messages:"]),
    ],
)
def test_a_configuration_decides_which_targets_are_asked(
    tmp_path: Path, arguments: tuple[str, ...], code: int, lines: list[str]
) -> None:
    (tmp_path / "request.json").write_text(json.dumps({"model": "m", **CHAT}))
    (tmp_path / "c.yaml").write_text(CONFIG)
    options = ("request.json", "--dialect", "chat", "--config", "c.yaml", "--model")
    done = run("lint", *options, *arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (code, "")
    assert [line for line in lines if line not in done.stdout] == []
    if lines is CHAT_LINES:
        assert done.stdout.splitlines() == lines


def test_strict_in_the_configuration_is_strict_here(tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text(json.dumps({"model": "m", **CHAT}))
    (tmp_path / "c.yaml").write_text(CONFIG + "translation: {strict: true}\n")
    options = ("--dialect", "chat", "--config", "c.yaml", "--model", "smart", "--provider", "a")
    done = run("lint", "request.json", *options, cwd=tmp_path)
    assert done.returncode == 1 and "refused: seed" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "x", "--provider", "a"), "--provider needs --config"),
        (("--model", "smart", "--provider", "z", "--config", "c.yaml"), "No target of the provider 'z' for 'smart'"),
        (("--model", "unknown", "--config", "c.yaml"), "Unknown model 'unknown'"),
        (("--model", "smart", "--config", "none.yaml"), "none.yaml"),
    ],
)
def test_what_cannot_be_asked_is_named(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    (tmp_path / "request.json").write_text(json.dumps({"model": "m", **CHAT}))
    (tmp_path / "c.yaml").write_text(CONFIG)
    done = run("lint", "request.json", "--dialect", "chat", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and message in done.stderr and done.stdout == ""


RESPONSES = {"model": "m", "input": "x", "previous_response_id": "resp_1"}


def test_what_continues_an_earlier_request_is_asked_of_its_own_api_alone(tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text(json.dumps(RESPONSES))
    own = run("lint", "request.json", "--dialect", "responses", "--model", "gpt-5.6", cwd=tmp_path)
    assert (own.returncode, own.stdout) == (0, "")
    other = run("lint", "request.json", "--dialect", "responses", "--model", "claude-opus-5", cwd=tmp_path)
    assert other.returncode == 1 and "'resp_1' not found" in other.stderr and "store of a server" in other.stderr


@pytest.mark.parametrize(
    ("dialect", "model", "body", "path"),
    [
        ("chat", "gpt-5", {"max_tokens": 5}, "max_tokens"),
        ("chat", "gpt-4o", {"max_tokens": 5}, ""),
        ("responses", "gpt-4o", {"include": ["reasoning.encrypted_content"]}, "include"),
        ("responses", "gpt-5", {"include": ["reasoning.encrypted_content"]}, ""),
    ],
)
def test_a_relayed_request_is_held_against_the_rules_of_its_model(
    tmp_path: Path, dialect: str, model: str, body: dict[str, Any], path: str
) -> None:
    (tmp_path / "request.json").write_text(json.dumps({"model": "m", "messages": TURN, "input": "x", **body}))
    done = run("lint", "request.json", "--dialect", dialect, "--model", model, cwd=tmp_path)
    assert done.returncode == bool(path) and done.stdout.startswith(f"refused: {path}" if path else "")
