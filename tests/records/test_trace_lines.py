from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from llmproxy.records.found_records import read_record
from llmproxy.records.trace_files import RecordLocation
from llmproxy.records.trace_reader import TraceReader
from tests.support.records import append, ids, text


def test_the_last_lines_are_read_from_behind(tmp_path: Path) -> None:
    big = {"model": "m", "padding": "x" * 50_000}
    for number in range(8):
        append(tmp_path, number, request={"headers": None, "size": 1, "format": "json", "body": big})
    (path,) = tmp_path.glob("*.jsonl")
    path.write_bytes(b"no record\n" + path.read_bytes())
    traces = TraceReader(str(tmp_path))
    assert ids(traces.last(3)) == [5, 6, 7]
    assert traces.faults == []  # what is wrong before was not looked at


@pytest.mark.parametrize("skips", [True, False])
@pytest.mark.parametrize("longer", [False, True])
def test_following_goes_on_in_a_file_that_was_shortened(tmp_path: Path, skips: bool, longer: bool) -> None:
    for number in range(1, 6):
        path = append(tmp_path, number)
    traces = TraceReader(str(tmp_path))
    traces.skip() if skips else traces.follow()
    lines = path.read_bytes().splitlines(keepends=True)
    append(tmp_path, 6)
    for number in (7, 8):
        append(tmp_path, number, session="s" * 10_000 * longer)
    shorter = tmp_path / "shorter"
    shorter.write_bytes(b"".join([*lines[3:], *path.read_bytes().splitlines(keepends=True)[5:]]))
    shorter.replace(path)
    assert ids(traces.follow()) == [6, 7, 8]
    append(tmp_path, 9)
    assert ids(traces.follow()) == [9]
    assert traces.faults == []


def test_of_a_file_that_was_shortened_beyond_what_is_known_all_is_new(tmp_path: Path) -> None:
    append(tmp_path, 1)
    traces = TraceReader(str(tmp_path))
    traces.skip()
    path = append(tmp_path / "other", 2)
    append(tmp_path / "other", 3)
    path.replace(tmp_path / path.name)
    assert ids(traces.follow()) == [2, 3]
    path = append(tmp_path, 4)
    path.write_bytes(b"")
    assert traces.follow() == []
    append(tmp_path, 5)
    assert ids(traces.follow()) == [5]


def test_half_a_line_waits_for_the_rest(tmp_path: Path) -> None:
    path = append(tmp_path, 1)
    traces = TraceReader(str(tmp_path))
    traces.skip()
    line = text(2).replace("\n", " ") + "\n"
    with path.open("a") as file:
        file.write(line[:200])
        file.flush()
        assert traces.follow() == []
        file.write(line[200:])
    assert ids(traces.follow()) == [2]
    assert traces.faults == []


@pytest.mark.skipif(sys.platform == "win32", reason="has no such files")
def test_a_line_without_end_is_read_up_to_the_largest_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmproxy.records.trace_lines.MOST_BYTES", 1 << 20)
    append(tmp_path, 1)
    (path,) = tmp_path.glob("*.jsonl")
    os.truncate(path, 1 << 34)
    traces = TraceReader(str(tmp_path))
    [found] = traces.entries()
    assert ids([found]) == [1] and [fault.why for fault in traces.faults] == ["a line is too long for a record"]
    assert traces.last(1) == []
    assert read_record(RecordLocation(found.place.path, 0))[0].id == found.entry.id
    with pytest.raises(ValueError, match="cut off"):
        read_record(RecordLocation(found.place.path, 1 << 33))
