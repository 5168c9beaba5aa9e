"""The workflows of GitHub, which nothing here can run: their schema, a linter, and what they call."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # its stubs would be one more package
import pytest
import yaml

from tests.support.program import ROOT

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def read(file: Path) -> Any:
    return yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # `on` is no boolean there


def commands(file: Path) -> str:
    return "\n".join(step.get("run", "") for job in read(file)["jobs"].values() for step in job["steps"])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_workflow_is_valid(file: Path) -> None:
    vendored = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "github-workflows.json"
    document = {key if key is not True else "on": value for key, value in yaml.safe_load(file.read_text()).items()}
    jsonschema.validate(document, json.loads(vendored.read_text(encoding="utf-8")))


def test_the_linter_finds_nothing() -> None:
    linter = str(Path(sys.executable).with_name("zizmor"))
    command = [linter, "--offline", "--no-progress", "--persona", "pedantic", *map(str, FILES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_actions_are_pinned_and_jobs_have_only_the_rights_that_they_name(file: Path) -> None:
    workflow = read(file)
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] and job["permissions"]
        for step in job["steps"]:
            assert "uses" not in step or re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", step["uses"])
    assert all(re.search(r"# v\d+\.\d+\.\d+$", line) for line in file.read_text().splitlines() if "uses:" in line)


def test_what_they_call_exists() -> None:
    for file in FILES:
        for script in re.findall(r"(?:^|\s)(scripts/[\w.-]+|build\.py)", commands(file)):
            assert (ROOT / script).is_file(), script
        for module in re.findall(r"python -m (scripts\.\w+)", commands(file)):
            assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module


def test_every_supported_python_and_system_is_tested() -> None:
    matrix = read(ROOT / ".github" / "workflows" / "check.yml")["jobs"]["test"]["strategy"]["matrix"]
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    assert f">={matrix['python'][0]}" == oldest
    minors = [int(each.removeprefix("3.")) for each in matrix["python"]]
    assert minors == list(range(minors[0], minors[-1] + 1))
    assert [system.partition("-")[0] for system in matrix["system"]] == ["ubuntu", "macos", "windows"]


def test_a_release_has_three_systems_and_two_processors() -> None:
    rows = read(ROOT / ".github" / "workflows" / "release.yml")["jobs"]["executable"]["strategy"]["matrix"]["include"]
    names = {f"{system}-{processor}" for system in ("linux", "macos", "windows") for processor in ("x64", "arm64")}
    assert {row["name"] for row in rows} == names
