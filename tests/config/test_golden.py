"""Mistakes in configuration files, one golden file each: the YAML, a line of dashes, what is said about it.

A file that is fine ends in what it means: its settings as JSON, without defaults.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmproxy.config.load import load

CASES = sorted((Path(__file__).parent.parent / "golden" / "config").glob("*.txt"))
DASHES = "-" * 40 + "\n"
ENVIRONMENT = {"KEY": "sk-secret", "HOST": "example.com", "PORT": "4000", "EMPTY": ""}


def told(directory: Path, environ: dict[str, str] = ENVIRONMENT) -> str:
    """What is said about `llmproxy.yaml` in `directory`."""
    loaded = load("llmproxy.yaml", directory=directory, environ=environ)
    lines = [str(problem) for problem in loaded.problems]
    if loaded.config is not None:
        lines.append(json.dumps(loaded.config.model_dump(mode="json", exclude_defaults=True), indent=2))
    return "".join(f"{line}\n" for line in lines).replace(str(directory), "<directory>")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_file_is_judged_as_its_golden_case_says(case: Path, tmp_path: Path) -> None:
    text, _, expected = case.read_text(encoding="utf-8").partition(DASHES)
    (tmp_path / "llmproxy.yaml").write_text(text, encoding="utf-8", newline="")
    assert told(tmp_path) == expected
