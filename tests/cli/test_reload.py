"""`llmproxy reload` where no server reloads; what it prints otherwise is in the acceptance tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmproxy.cli.client import PageError
from llmproxy.cli.reload import _words
from tests.support.program import run


def test_without_a_server_it_says_how_to_start_one(tmp_path: Path) -> None:
    told = run("reload", cwd=tmp_path)
    assert told.returncode == 1 and "start one with `llmproxy serve`" in told.stderr


def test_another_program_is_not_taken_for_llmproxy() -> None:
    with pytest.raises(PageError, match="not an llmproxy server"):
        _words({"status": "ok"}, "changes")
