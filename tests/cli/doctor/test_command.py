from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import run
from tests.support.provider import Reply, Upstream

KEY = "sk-d0ct0r-secret"


def shown(directory: Path, code: int, *arguments: str, **extra: str) -> Any:
    done = run("doctor", "--json", *arguments, cwd=directory, extra=extra)
    assert (done.returncode, done.stderr) == (code, ""), done
    assert KEY not in done.stdout
    return json.loads(done.stdout)


def statuses(page: Any) -> dict[tuple[str, str], str]:
    return {(each["subject"], each["check"]): each["status"] for each in page["findings"]}


def test_without_a_configuration_the_stub_is_well(tmp_path: Path) -> None:
    done = run("doctor", cwd=tmp_path, extra={"PROXY_API_PORT": "0"})  # others may have the usual one
    assert done.returncode == 0, done
    assert "configuration" in done.stdout and "answers by itself" in done.stdout and "\x1b" not in done.stdout


def test_mistakes_in_the_configuration_come_first_and_end_it(tmp_path: Path) -> None:
    (tmp_path / "llmproxy.yaml").write_text("providers: [{name: a, type: opnai}]\nserver: {prot: 1}\n")
    page = shown(tmp_path, 1)
    assert [each["check"] for each in page["findings"]] == ["configuration", "configuration", "all else"]
    assert "openai" in page["findings"][0]["detail"] and page["status"] == "error"


def test_two_files_are_refused(tmp_path: Path) -> None:
    done = run("doctor", "a.yaml", "--config", "b.yaml", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        2,
        "llmproxy: one configuration file is enough: a.yaml or --config b.yaml\n",
    )


def test_keys_of_the_environment_are_named_and_used_but_not_shown(tmp_path: Path) -> None:
    with Upstream(Reply(pieces=[b"{}"])) as upstream:
        provider = f'{{name: a, type: openai, base_url: "{upstream.url}/v1", api_key: "${{MY_KEY}}"}}'
        config = f"server: {{port: 0}}\nproviders: [{provider}]\n"
        (tmp_path / "my.yaml").write_text(config)
        (tmp_path / ".env").write_text(f"MY_KEY={KEY}\n")
        page = shown(tmp_path, 0, "my.yaml")
        assert upstream.only.values("authorization") == [f"Bearer {KEY}"]
    assert page["config"] == "my.yaml"
    assert [each["detail"] for each in page["findings"] if each["check"] == "key"] == ["MY_KEY in .env"]


def test_one_refused_key_is_an_error_of_that_provider_alone(tmp_path: Path) -> None:
    with Upstream(Reply(status=401, pieces=[b"{}"])) as upstream:
        base = f'type: openai, base_url: "{upstream.url}/v1"'
        (tmp_path / "llmproxy.yaml").write_text(
            f"server: {{port: 0}}\nproviders: [{{name: a, {base}, api_key: {KEY}}}, {{name: b, {base}}}]\n"
        )
        found = statuses(shown(tmp_path, 1))
    assert found["a", "call"] == "error" and found["b", "call"] == "ok"


@pytest.mark.parametrize("value", ["0", "x"])
def test_a_timeout_that_makes_no_sense_is_wrong_usage(tmp_path: Path, value: str) -> None:
    assert run("doctor", "--timeout", value, cwd=tmp_path).returncode == 2
