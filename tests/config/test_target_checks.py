"""Targets that a model has twice. Places and words of the problems are in `tests/golden/config/targets-twice.txt`."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmproxy.config.load import load


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a/m", "a/m", True),
        ("a/m", "a/n", False),
        ("a/m", "a", False),
        ("a/m", "{model: m, provider: a}", True),
        ("{provider: a, weight: 1}", "{provider: a, weight: 2, rpm: 3, tpm: 4, concurrent: 5}", True),
        ("{provider: a, when: {keys: [x]}}", "{provider: a, when: {keys: [y]}}", False),
        ("{provider: a, extra_body: {x: [1, {y: 2}]}}", "{extra_body: {x: [1, {y: 2}]}, provider: a}", True),
        ("{provider: a, extra_headers: {x-a: b}}", "{provider: a}", False),
    ],
)
def test_two_targets_are_the_same_when_they_differ_in_their_shares_alone(
    tmp_path: Path, one: str, other: str, same: bool
) -> None:
    config = f"providers: [{{name: a, type: openai, api_key: k}}]\nmodels: [{{name: m, targets: [{one}, {other}]}}]"
    (tmp_path / "llmproxy.yaml").write_text(config)
    problems = load("llmproxy.yaml", directory=tmp_path, environ={}).problems
    assert [problem.code for problem in problems] == (["target-twice"] if same else [])
