from __future__ import annotations

from pathlib import Path

import pytest

from llmproxy.config.generate import generate
from llmproxy.config.load import load
from llmproxy.config.presets import PRESETS

FOLDER = Path(__file__).parent.parent.parent / "configs"


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_a_configuration_and_stands_in_its_file(name: str, tmp_path: Path) -> None:
    text = generate(name)  # type: ignore[arg-type]  # the names of the presets
    (tmp_path / "x.yaml").write_text(text, encoding="utf-8")
    loaded = load("x.yaml", directory=tmp_path, environ={})
    assert loaded.config is not None, loaded.problems
    assert (FOLDER / f"{name}.yaml").read_text(encoding="utf-8") == text
