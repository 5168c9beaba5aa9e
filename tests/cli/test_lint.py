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
