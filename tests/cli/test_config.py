from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from llmproxy.config.generate import generate
from llmproxy.config.json_schema import config_schema
from llmproxy.config.presets import Preset
from tests.support.program import run

WRONG = "server: {prt: 1}\nllm: {type: stub}\n"
FINE = "providers: [{name: a, type: stub}]\n"


def test_a_configuration_is_written_to_the_console(tmp_path: Path) -> None:
    for arguments in (("generate-config",), ("generate-config", "-"), ("--generate-config",)):
        done = run(*arguments, cwd=tmp_path)
        assert (done.stdout, done.returncode) == (generate(Preset.minimal), 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("preset", ["minimal", "full", "stub"])
def test_a_configuration_is_written_to_a_file(tmp_path: Path, preset: str) -> None:
    done = run("generate-config", "new.yaml", "--preset", preset.upper(), cwd=tmp_path)
    assert done.returncode == 0
    assert "llmproxy serve new.yaml" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["new.yaml"]
    assert b"\r" not in (tmp_path / "new.yaml").read_bytes()
    assert run("validate-config", "new.yaml", cwd=tmp_path).stdout == "new.yaml: OK\n"


def test_a_file_is_written_over_only_when_that_is_forced(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("mine")
    done = run("generate-config", "x.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "llmproxy: x.yaml exists; --force overwrites it\n"
    assert (tmp_path / "x.yaml").read_text() == "mine"
    assert run("generate-config", "x.yaml", "--force", cwd=tmp_path).returncode == 0
    assert (tmp_path / "x.yaml").read_text() == generate(Preset.minimal)


def test_a_place_that_cannot_be_written_is_reported_in_one_line(tmp_path: Path) -> None:
    for file, why in (("no/where.yaml", "no such file or directory"), (".", "is a directory")):
        done = run("generate-config", file, "--force", cwd=tmp_path)
        assert done.returncode == 1
        assert done.stderr == f"llmproxy: cannot write {file}: {why}\n"


def test_the_schema_is_written(tmp_path: Path) -> None:
    assert json.loads(run("schema", cwd=tmp_path).stdout) == config_schema()
    assert run("schema", "s.json", cwd=tmp_path).returncode == 0
    assert json.loads((tmp_path / "s.json").read_text()) == config_schema()
    assert run("schema", "s.json", cwd=tmp_path).returncode == 1


def test_files_are_judged_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "fine.yaml").write_text(FINE)
    (tmp_path / "wrong.yaml").write_text(WRONG)
    done = run("validate-config", "fine.yaml", "wrong.yaml", "nowhere.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == "fine.yaml: OK\n"
    assert done.stderr.splitlines() == [
        "wrong.yaml:1:10: server.prt: unknown key; did you mean 'port'?",
        "nowhere.yaml: file not found",
    ]


def test_a_warning_spoils_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("server: {host: 0.0.0.0}\nllm: {type: openai, api_key: k}\n")
    done = run("--validate-config", "x.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "x.yaml: OK\n")
    assert done.stderr.startswith("x.yaml:1:16: server.host: warning: ")


def test_variables_count_as_present_when_asked(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("server: {port: '${PORT}'}\nllm: {type: openai, api_key: '${KEY}'}\n")
    assert run("validate-config", "x.yaml", cwd=tmp_path).stderr.count("is not set") == 2
    assert run("validate-config", "x.yaml", "--no-env", cwd=tmp_path).returncode == 0
    output = run("validate-config", "x.yaml", cwd=tmp_path, extra={"PORT": "x", "KEY": "k"})
    assert output.stderr == "x.yaml:1:16: server.port: must be a whole number; it is set by environment variable PORT\n"
    assert run("validate-config", "x.yaml", "--no-env", cwd=tmp_path, extra={"PORT": "x"}).returncode == 0


def test_the_verdict_has_forms_for_machines(tmp_path: Path) -> None:
    (tmp_path / "fine.yaml").write_text(FINE)
    (tmp_path / "wrong.yaml").write_text(WRONG)

    def report(form: str) -> str:
        done = run("validate-config", "--format", form, "fine.yaml", "wrong.yaml", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (1, "")
        return done.stdout

    assert [file["ok"] for file in json.loads(report("json"))["files"]] == [True, False]
    assert report("github").startswith("::error file=wrong.yaml,line=1,col=10,")
    (finding,) = json.loads(report("gitlab"))
    assert finding["location"] == {"path": "wrong.yaml", "lines": {"begin": 1}}
    (result,) = json.loads(report("sarif"))["runs"][0]["results"]
    assert result["ruleId"] == "unknown-key"


def test_forms_for_machines_are_there_without_problems(tmp_path: Path) -> None:
    (tmp_path / "fine.yaml").write_text(FINE)
    for form, empty in (("json", '"ok": true'), ("sarif", '"results": []'), ("github", ""), ("gitlab", "[]")):
        done = run("validate-config", "--format", form, "fine.yaml", cwd=tmp_path)
        assert done.returncode == 0
        assert empty in done.stdout


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="everybody may write everywhere here")
def test_a_forbidden_place_is_reported_in_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert run("generate-config", "x.yaml", cwd=tmp_path).stderr == (
        "llmproxy: cannot write x.yaml: permission denied\n"
    )
