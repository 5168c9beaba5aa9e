from __future__ import annotations

import re
from pathlib import Path

import pytest

from llmproxy.config.load import load
from llmproxy.config.presets import PRESETS, Preset

FOLDER = Path(__file__).parent.parent.parent / "configs"
MOST_LINES = 60


def test_each_name_has_a_text_and_a_file() -> None:
    assert {*PRESETS, Preset.full} == set(Preset)
    assert {each.stem for each in FOLDER.glob("*.yaml")} == set(Preset)


@pytest.mark.parametrize("preset", PRESETS)
def test_it_is_short_and_begins_with_what_it_is_for(preset: Preset) -> None:
    lines = PRESETS[preset].splitlines()
    assert lines[0].startswith("# llmproxy ") or lines[0].startswith("# llmproxy: ")
    assert len(lines) <= MOST_LINES


def test_the_variables_of_the_example_are_those_of_the_files(tmp_path: Path) -> None:
    example = (FOLDER / ".env.example").read_text(encoding="utf-8")
    names = {line.partition("=")[0].removeprefix("#") for line in example.splitlines() if "=" in line}
    used = {name for preset in PRESETS for name in _variables(PRESETS[preset])}
    assert names == used
    (tmp_path / ".env").write_text(re.sub("\n#(?! )", "\n", example))
    (tmp_path / "x.yaml").write_text(PRESETS[Preset.load_balance])
    assert load("x.yaml", directory=tmp_path, environ={}).problems == []


def _variables(text: str) -> list[str]:
    return [part.partition("}")[0].partition(":-")[0] for part in text.split("${")[1:]]
