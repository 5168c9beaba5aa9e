from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.program import run

COMPLETE = "model_list: [{model_name: a, litellm_params: {model: openai/gpt-4o}}]\n"
BY_HAND = COMPLETE + "guardrails: []\nlitellm_settings: {callbacks: [langfuse]}\n"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "complete.yaml").write_text(COMPLETE)
    (tmp_path / "by-hand.yaml").write_text(BY_HAND)
    return tmp_path


def test_a_file_is_written_that_can_be_served(here: Path) -> None:
    done = run("import", "complete.yaml", "--output", "llmproxy.yaml", cwd=here)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-3:] == [
        "complete.yaml (LiteLLM): 2 exact",
        "Wrote llmproxy.yaml",
        "Start it with: llmproxy serve",
    ]
    checked = run("validate-config", "llmproxy.yaml", cwd=here, extra={"OPENAI_API_KEY": "k"})
    assert checked.stdout == "llmproxy.yaml: OK\n"


def test_what_needs_a_hand_ends_with_a_code_of_its_own(here: Path) -> None:
    done = run("import", "by-hand.yaml", cwd=here)
    assert done.returncode == 3
    assert (
        done.stdout.startswith("# yaml-language-server")
        and "# 3: litellm_settings.callbacks[0]: by hand" in done.stdout
    )
    rows = done.stderr.splitlines()
    assert rows[0].split() == ["line", "grade", "setting", "becomes", "remark"]
    assert rows[-1] == "by-hand.yaml (LiteLLM): 3 exact, 1 by hand"


def test_the_new_file_says_what_needs_a_hand(here: Path) -> None:
    done = run("import", "by-hand.yaml", "-o", "x.yaml", cwd=here)
    assert done.returncode == 3
    assert done.stdout.splitlines()[-3:] == [
        "Wrote x.yaml",
        "The lines to change by hand are listed in full at its top.",
        "Start it with: llmproxy serve x.yaml",
    ]
    assert "# 3: litellm_settings.callbacks[0]: by hand: no such callback" in (here / "x.yaml").read_text()


def test_grades_can_be_read_by_programs(here: Path) -> None:
    done = run("import", "by-hand.yaml", "-o", "x.yaml", "--json", cwd=here)
    content = json.loads(done.stdout)
    assert (content["source"], content["complete"], content["variables"]) == ("LiteLLM", False, [])
    assert content["lines"][-1] == {
        "line": 3,
        "last_line": 3,
        "key": "litellm_settings.callbacks[0]",
        "grade": "by hand",
        "becomes": "",
        "message": "no such callback; send traces by `telemetry.otlp`, or write a middleware",
    }
    assert run("import", "by-hand.yaml", "--json", cwd=here).returncode == 2


def test_a_file_is_written_over_only_when_that_is_forced(here: Path) -> None:
    done = run("import", "complete.yaml", "-o", "by-hand.yaml", cwd=here)
    assert (done.returncode, done.stderr) == (1, "llmproxy: by-hand.yaml exists; --force overwrites it\n")
    assert (here / "by-hand.yaml").read_text() == BY_HAND
    assert run("import", "complete.yaml", "-o", "by-hand.yaml", "--force", cwd=here).returncode == 0


def test_a_file_that_cannot_be_imported_is_reported(here: Path) -> None:
    (here / "odd.yaml").write_text("colour: blue\n")
    done = run("import", "odd.yaml", cwd=here)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("odd.yaml: is not recognised as the configuration of another program")
    assert run("import", "nowhere.yaml", cwd=here).stderr == "nowhere.yaml: file not found\n"
    assert run("import", "complete.yaml", "--from", "PORTKEY", cwd=here).returncode == 1


def test_serve_and_validate_config_point_to_import(here: Path) -> None:
    message = (
        "complete.yaml: is a configuration of LiteLLM; turn it into one of llmproxy: llmproxy import complete.yaml\n"
    )
    for arguments in (("validate-config", "complete.yaml"), ("serve", "--config", "complete.yaml")):
        done = run(*arguments, cwd=here)
        assert (done.returncode, done.stderr) == (1, message)
