"""The keys file: like `auth.keys`, but a program may have written it, so that nothing in it is a variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmproxy.config.keys_file import read_keys_file
from llmproxy.config.load import load

DIGEST = "59afe7bf20892186f53076ce7b02301b848aa3e80fad5df3f300ebfbdf73aa11"
STUB = "providers: [{name: stub, type: stub}]\n"


def read(tmp_path: Path, text: str) -> tuple[list[str], list[str]]:
    (tmp_path / "keys.yaml").write_text(text)
    keys, problems, _ = read_keys_file("keys.yaml", tmp_path)
    return [key.name for key in keys], [str(problem) for problem in problems]


def test_keys_are_read(tmp_path: Path) -> None:
    assert read(tmp_path, f"keys:\n  - {{name: a, sha256: {DIGEST}}}\n  - {{name: b, key: a-key-of-b}}\n") == (
        ["a", "b"],
        [],
    )


@pytest.mark.parametrize("text", ["keys: []", "keys:", "{}"])
def test_there_may_be_none(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == ([], [])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("keys: [", "keys.yaml:"),
        ("- name: a", "keys.yaml:1:1: must contain sections"),
        ("keys: [{name: a}]", "keys.yaml:1:8: keys[0]: needs `key"),
        ("keys: [{name: a, key: '${KEY}-x'}]", "keys.yaml:1:23: keys[0].key: variables are not expanded"),
        ("keyz: []", "keys.yaml:1:1: keyz: unknown key; did you mean 'keys'?"),
    ],
)
def test_a_mistake_has_its_place_and_no_key_counts(tmp_path: Path, text: str, problem: str) -> None:
    keys, problems = read(tmp_path, text)
    assert keys == []
    assert problems and problems[0].startswith(problem)


def test_its_keys_are_checked_together_with_those_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "llmproxy.yaml").write_text(
        f"auth: {{keys_file: k/keys.yaml, keys: [{{name: a, sha256: {DIGEST}}}]}}\n{STUB}"
    )
    (tmp_path / "k").mkdir()
    file = tmp_path / "k" / "keys.yaml"
    assert [str(each) for each in load(directory=tmp_path, environ={}).problems] == [
        "llmproxy.yaml:1:19: auth.keys_file: file not found: 'k/keys.yaml'; create it with the line `keys: []`"
    ]
    file.write_text(f"keys: [{{name: b, sha256: {DIGEST}, providers: [stab]}}]")
    assert [str(each) for each in load(directory=tmp_path, environ={}).problems] == [
        "k/keys.yaml:1:26: keys[0].sha256: is the same as that of auth.keys[0] (a); each client needs its own",
        "k/keys.yaml:1:104: keys[0].providers[0]: unknown provider: 'stab'; did you mean 'stub'?",
    ]
    file.write_text("keys: [{name: b, key: a-key-of-b}]")
    loaded = load(directory=tmp_path, environ={})
    assert [key.name for key in loaded.file_keys] == ["b"]
    assert load(directory=tmp_path, no_env=True).config is not None
