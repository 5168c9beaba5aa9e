from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from llmproxy.records.trace_reader import TraceReader
from tests.support.records import ids, write


def test_a_head_longer_than_usual_and_another_layout_are_read_too(tmp_path: Path) -> None:
    write(tmp_path, 1, dropped=["x" * 30_000])
    pretty = write(tmp_path, 2)
    pretty.write_text(json.dumps(json.loads(pretty.read_text()), indent=2))
    traces = TraceReader(str(tmp_path))
    assert ids(list(traces.entries())) == [1, 2]
    assert traces.faults == []


def test_other_files_and_halves_of_files_are_not_looked_at(tmp_path: Path) -> None:
    day = write(tmp_path).parent
    for name in ("notes.txt", ".030405.000-aa.json.tmp", ".hidden.json"):
        (day / name).write_text("nothing")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.json").write_text("nothing")
    traces = TraceReader(str(tmp_path))
    assert len(list(traces.entries())) == 1 and traces.faults == []


def test_following_sees_a_file_that_gets_its_name_without_the_time_of_its_directory_changing(tmp_path: Path) -> None:
    """Clocks of file systems tick every few milliseconds: making a file and naming it can happen within one tick."""
    day = write(tmp_path, 1).parent
    traces = TraceReader(str(tmp_path))
    traces.skip()
    changed_ns = os.stat(day).st_mtime_ns
    assert traces.follow() == []
    write(tmp_path, 2)
    os.utime(day, ns=(changed_ns, changed_ns))
    assert ids(traces.follow()) == [2]


def test_a_directory_that_has_not_changed_for_long_is_not_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = write(tmp_path, 1).parent
    os.utime(day, ns=(10**18, 10**18))
    traces = TraceReader(str(tmp_path))
    traces.skip()
    traces.follow()
    listed: list[str] = []
    real = os.listdir

    def listdir(path: str) -> list[str]:
        listed.append(path)
        return real(path)

    monkeypatch.setattr(os, "listdir", listdir)
    assert traces.follow() == []
    assert {*listed} == {str(tmp_path)}
