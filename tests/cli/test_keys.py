"""`llmproxy keys`: what it prints lets the key in."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from llmproxy.access.keys import digest_of
from llmproxy.cli import app
from llmproxy.config.load import load

STUB = "providers: [{name: stub, type: stub}]\n"
KEY = re.compile(r"llmp_[a-z0-9]{8}_[0-9A-Za-z]{43}")


def run(*arguments: str, stdin: str | None = None, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["keys", *arguments], input=stdin)
    assert result.exit_code == code, result.output
    return result.output


def printed(output: str) -> tuple[str, dict[str, object]]:
    """Return the key, and the entry that is printed with it."""
    (key,) = KEY.findall(output)
    (line,) = re.findall(r"^  - (.*)$", output, re.MULTILINE)
    entry = yaml.safe_load(line)
    assert entry["sha256"] == digest_of(key).hex()
    return key, entry


@pytest.fixture
def file(tmp_path: Path) -> str:
    text = """
auth:
  keys:
    - {name: ci, key: "${CI_KEY}", team: build, models: ["gpt-*"], limits: [{requests: 5, per: 1m}]}
    - {name: old, key: key-of-old, expires: 2020-01-01}
  keys_file: more.yaml
"""
    (tmp_path / "llmproxy.yaml").write_text(text + STUB)
    (tmp_path / "more.yaml").write_text("keys: [{name: anna, subject: CN=anna}]\n")
    (tmp_path / ".env").write_text("CI_KEY=key-of-ci\n")
    return str(tmp_path / "llmproxy.yaml")


@pytest.mark.parametrize("arguments", [[""], ["a\nb"], ["a", "--team", "b\tc"], ["a" * 101]])
def test_what_a_configuration_would_refuse_gets_no_key(arguments: list[str]) -> None:
    assert not KEY.search(run("new", *arguments, code=1))


def test_a_new_key_is_printed_once_with_its_line() -> None:
    key, entry = printed(run("new", "ci bot", "--team", "on", "--model", "gpt-*", "--model", "o4"))
    assert entry == {
        "name": "ci bot",
        "id": key.split("_")[1],
        "sha256": digest_of(key).hex(),
        "team": "on",
        "models": ["gpt-*", "o4"],
    }


def test_the_line_is_accepted_as_it_is_printed(tmp_path: Path) -> None:
    output = run("new", "ci")
    (line,) = re.findall(r"^  - .*$", output, re.MULTILINE)
    (tmp_path / "llmproxy.yaml").write_text(f"auth:\n  keys:\n{line}\n{STUB}")
    loaded = load(directory=tmp_path, environ={})
    assert loaded.problems == []
    assert run("check", "-c", str(tmp_path / "llmproxy.yaml"), stdin=printed(output)[0]) == "It is the key of 'ci'.\n"


def test_keys_are_listed_without_what_opens_anything(file: str) -> None:
    output = run("list", "-c", file)
    assert "key-of" not in output
    assert [line.split()[0] for line in output.splitlines()] == ["name", "ci", "old", "anna"]
    rows = json.loads(run("list", "-c", file, "--json"))
    assert rows[0] == {
        "name": "ci",
        "team": "build",
        "id": "-",
        "proof": "key",
        "models": "gpt-*",
        "providers": "all",
        "expires": "never",
    }
    assert rows[1]["expires"] == "2020-01-01T00:00:00Z (expired)" and rows[2]["proof"] == "certificate"


def test_whose_a_key_is(file: str) -> None:
    assert run("check", "-c", file, stdin="key-of-ci\n") == "It is the key of 'ci'.\n"
    assert "has expired" in run("check", "-c", file, stdin="key-of-old", code=1)
    for wrong in ("key-of-nobody", ""):
        assert "no client of this configuration has this key" in run("check", "-c", file, stdin=wrong, code=1)


def test_both_keys_work_for_a_while(file: str, tmp_path: Path) -> None:
    output = run("rotate", "ci", "-c", file, "--grace", "24h")
    key, entry = printed(output)
    assert list(entry)[:3] == ["name", "id", "sha256"]
    assert (entry["name"], entry["team"], entry["models"]) == ("ci", "build", ["gpt-*"])
    assert entry["limits"] == [{"requests": 5, "per": "60s"}]
    (expires,) = re.findall(r"^  (expires: .*)$", output, re.MULTILINE)
    changed = Path(file).read_text().replace('key: "${CI_KEY}"', f'key: "${{CI_KEY}}", {expires}')
    (line,) = re.findall(r"^  - .*$", output, re.MULTILINE)
    (tmp_path / "llmproxy.yaml").write_text(changed.replace("  keys:\n", f"  keys:\n  {line}\n", 1))
    assert "'ci'.\n" in run("check", "-c", file, stdin=key)
    assert "'ci', until 20" in run("check", "-c", file, stdin="key-of-ci")


def test_mistakes_say_what_to_do(file: str, tmp_path: Path) -> None:
    assert "there is no key 'nobody'" in run("rotate", "nobody", "-c", file, code=1)
    assert "--grace: invalid duration" in run("rotate", "ci", "-c", file, "--grace", "soon", code=1)
    broken = tmp_path / "broken.yaml"
    broken.write_text("auth: {mode: keys}\n" + STUB)
    assert "mode `keys` needs" in run("list", "-c", str(broken), code=1)
    broken.write_text(STUB)
    assert "There are no keys" in run("list", "-c", str(broken))
