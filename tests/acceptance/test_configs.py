"""Every configuration in `configs/` starts as it stands."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from tests.support.program import Program

CONFIGS = sorted((Path(__file__).parent.parent.parent / "configs").glob("*.yaml"))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_it_starts(tmp_path: Path, config: Path) -> None:
    with (
        Program(tmp_path, "serve", config=config.read_text(encoding="utf-8")) as program,
        urllib.request.urlopen(f"{program.url}/health", timeout=10) as answer,
    ):
        assert json.load(answer)["status"] == "ok"
