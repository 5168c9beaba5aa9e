"""Files that nobody writes by accident: an error of the configuration, soon, and never a traceback or a flood."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmproxy.config.load import MAX_PROBLEMS, load, load_from_python

STUB = "providers: [{name: s, type: stub}]\n"


def _problems(directory: Path, text: str) -> list[str]:
    (directory / "llmproxy.yaml").write_text(text)
    loaded = load(directory=directory, environ={})
    assert loaded.config is None
    return [str(problem) for problem in loaded.problems]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (STUB + f"server: {'{a: ' * 150}1{'}' * 150}\n", "is nested too deeply"),
        (STUB + f"server: {'{a: ' * 400}1{'}' * 400}\n", "is nested too deeply"),
        (STUB + f"models: {'[' * 5000}{']' * 5000}\n", "is nested too deeply"),
        (STUB + f"server: {{host: '{'${A:-' * 5000}{'}' * 5000}'}}\n", "variables are nested too deeply"),
        (STUB + f"server: {{shutdown_timeout: '{'1' * 50_000}x'}}\n", "invalid duration"),
        (STUB + f"server: {{max_body_size: '{'9' * 400}GB'}}\n", "invalid size"),
        (STUB + f"server: {{host: {'x' * 500_000}}}\n", "invalid address or host name"),
        (STUB + 'server: {host: "a\\0b"}\n', "contains a character that cannot be used"),
        (STUB + 'server: {admin_key: "\\ud800 0123456789"}\n', "contains a character that cannot be used"),
        (STUB + "server: {shutdown_timeout: 1e300}\n", "must be at most 36500d"),
        (STUB + "server: {shutdown_timeout: 999999999999d}\n", "must be at most 36500d"),
        (STUB + f"server: {{shutdown_timeout: {'9' * 400}}}\n", "must be at most 36500d"),
        (STUB + "server: {shutdown_timeout: .inf}\n", "must be finite"),
        (STUB + "server: {shutdown_timeout: .nan}\n", "must be finite"),
        (STUB + f"server: {{max_body_size: {'9' * 30}}}\n", "must be at most 1024TB"),
        (STUB + "server: {max_body_size: 1025TB}\n", "must be at most 1024TB"),
        (f"providers: [{{name: s, type: stub, priority: {'9' * 40}}}]\n", "must be between"),
        (STUB + "middlewares: [{type: sessions, config: {similarity_threshold: .nan}}]\n", "similarity_threshold"),
    ],
)
def test_a_value_that_cannot_be_is_an_error_of_one_short_line(tmp_path: Path, text: str, words: str) -> None:
    problems = _problems(tmp_path, text)
    assert words in problems[0]
    assert len(problems) <= 2 and all(len(problem) < 1000 for problem in problems)


@pytest.mark.parametrize(
    "text",
    [
        STUB + "server:\n" + "".join(f"  k{number}: 1\n" for number in range(2000)),
        "providers:\n"
        + "".join(f"  - {{name: p{number}, type: stub}}\n" for number in range(1500))
        + "models:\n"
        + "".join(f"  - {{name: m{number}, targets: [q{number}/x]}}\n" for number in range(1500)),
    ],
    ids=["keys", "targets"],
)
def test_of_very_many_problems_the_first_are_shown(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[Any] = []

    def compare(word: str, candidates: Any, **_: Any) -> list[str]:
        compared.append(candidates)
        return []

    monkeypatch.setattr("difflib.get_close_matches", compare)
    problems = _problems(tmp_path, text)
    assert len(problems) == MAX_PROBLEMS + 1 and "more problems are not shown" in problems[-1]
    assert all(len(candidates) <= 500 for candidates in compared), "comparing all with all would take minutes"


def test_a_mapping_that_contains_itself_is_an_error(tmp_path: Path) -> None:
    config: dict[str, object] = {}
    config["server"] = config
    loaded = load_from_python(config, {}, environ={}, directory=tmp_path)
    assert [str(problem) for problem in loaded.problems] == ["config: is nested too deeply"]
