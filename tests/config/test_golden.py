"""Problems of configuration files, one golden file each: the YAML, a line of dashes, the problems of the file.

A valid file ends with its settings as JSON, without defaults.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmproxy.config.load import load

CASES = sorted((Path(__file__).parent.parent / "golden" / "config").glob("*.txt"))
DASHES = "-" * 40 + "\n"
ENVIRONMENT = {"KEY": "sk-secret", "HOST": "example.com", "PORT": "4000", "EMPTY": ""}


def report(directory: Path, environ: dict[str, str] = ENVIRONMENT) -> str:
    """Return the problems of `llmproxy.yaml` in `directory`, or its settings."""
    loaded = load("llmproxy.yaml", directory=directory, environ=environ)
    lines = [str(problem) for problem in loaded.problems]
    if loaded.config is not None:
        lines.append(json.dumps(loaded.config.model_dump(mode="json", exclude_defaults=True), indent=2))
    return "".join(f"{line}\n" for line in lines).replace(str(directory), "<directory>")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_file_has_the_problems_of_its_golden_case(case: Path, tmp_path: Path) -> None:
    text, _, expected = case.read_text(encoding="utf-8").partition(DASHES)
    (tmp_path / "llmproxy.yaml").write_text(text, encoding="utf-8", newline="")
    assert report(tmp_path) == expected
