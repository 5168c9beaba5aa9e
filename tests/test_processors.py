from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from llmproxy.processors import usable_processors

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="control groups")


@linux_only
@pytest.mark.parametrize(
    ("quota", "expected"),
    [("100000 100000", 1), ("150000 100000", 2), ("50000 100000", 1), ("max 100000", 3), ("?", 3)],
)
def test_a_container_may_have_fewer_than_the_machine(
    quota: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2})
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert usable_processors(tmp_path / "cpu.max") == expected


@linux_only
def test_without_a_control_group_it_is_what_the_scheduler_allows(tmp_path: Path) -> None:
    assert usable_processors(tmp_path / "none") == len(os.sched_getaffinity(0))


def test_windows_has_one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert usable_processors() == 1
