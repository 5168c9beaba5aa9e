from __future__ import annotations

import json
import shutil
import sys
import threading
from pathlib import Path

import pytest

from llmproxy.records.found_records import read_record
from llmproxy.records.trace_reader import TraceReader
from tests.support.records import append, ids, text, write
from tests.support.special_files import SPECIAL, make_special
from tests.support.waiting import PATIENCE_S


def test_records_of_both_formats_are_listed_by_time(tmp_path: Path) -> None:
    for number in (3, 1):
        write(tmp_path, number)
    for number in (2, 4):
        append(tmp_path, number)
    write(tmp_path, 9, started="2025-12-31T23:59:59.999999Z")

    traces = TraceReader(str(tmp_path))

    assert ids(list(traces.entries())) == [9, 1, 2, 3, 4]
    assert ids(traces.last(2)) == [3, 4]
    assert ids(traces.last(5)) == [9, 1, 2, 3, 4]
    assert traces.faults == []


def test_thousands_of_records_are_all_found(tmp_path: Path) -> None:
    day = write(tmp_path, 0).parent
    for number in range(1, 3000):
        (day / f"04{number:04d}.000-{number:06x}aaaa.json").write_text(text(number))
    traces = TraceReader(str(tmp_path))
    assert sorted(ids(list(traces.entries()))) == list(range(3000))
    assert ids(traces.find(f"{2999:06x}")) == [2999]


def test_following_finds_what_is_new_in_every_place(tmp_path: Path) -> None:
    directory = tmp_path / "not yet"
    traces = TraceReader(str(directory))
    traces.skip()
    assert traces.follow() == []
    write(directory, 1)
    append(directory, 2)
    assert ids(traces.follow()) == [1, 2]
    assert traces.follow() == []
    write(directory, 3)
    append(directory, 4)
    write(directory, 5, started="2026-01-03T00:00:00.000000Z")
    assert ids(traces.follow()) == [3, 4, 5]


def test_following_begins_behind_what_is_there(tmp_path: Path) -> None:
    write(tmp_path, 1)
    append(tmp_path, 2)
    traces = TraceReader(str(tmp_path))
    traces.skip()
    write(tmp_path, 3)
    append(tmp_path, 4)
    assert ids(traces.follow()) == [3, 4]


def test_following_goes_on_when_files_and_days_are_cleared_away(tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path, number)
    traces = TraceReader(str(tmp_path))
    traces.skip()
    shutil.rmtree(tmp_path / "2026-01-02")
    assert traces.follow() == []
    write(tmp_path, 3)
    assert ids(traces.follow()) == [3]
    assert traces.faults == []


def test_an_id_is_found_by_its_beginning_and_by_the_request_id(tmp_path: Path) -> None:
    write(tmp_path, 0, id="abcd01")
    append(tmp_path, 0, id="abff02", request_id="mine")
    traces = TraceReader(str(tmp_path))

    def found(beginning: str) -> list[str]:
        return [each.entry.id for each in traces.find(beginning)]

    assert found("ab") == ["abcd01", "abff02"]
    assert found("abc") == ["abcd01"]
    assert found("mine") == ["abff02"]
    assert found("zz") == []


def test_a_whole_id_wins_over_longer_ones(tmp_path: Path) -> None:
    write(tmp_path, 0, id="abc")
    write(tmp_path, 1, id="abcd")
    assert [each.entry.id for each in TraceReader(str(tmp_path)).find("abc")] == ["abc"]


def test_whole_records_of_both_formats_are_read(tmp_path: Path) -> None:
    write(tmp_path / "files", 1)
    append(tmp_path / "lines", 1)
    append(tmp_path / "lines", 2)
    for directory in ("files", "lines"):
        last = TraceReader(str(tmp_path / directory)).last(1)[0]
        record, data = read_record(last.place)
        assert record.id == last.entry.id
        assert json.loads(data)["request"]["body"] == json.loads(bytes(record.request.body))


def test_whole_records_are_read_one_by_one_and_faults_are_kept(tmp_path: Path) -> None:
    write(tmp_path, 1)
    path = write(tmp_path, 2)
    append(tmp_path, 3)
    traces = TraceReader(str(tmp_path))
    found = list(traces.entries())
    path.unlink()
    assert [record.id[:6] for record, _ in traces.records(found)] == ["000001", "000003"]
    assert [fault.path for fault in traces.faults] == [str(path)]


@pytest.mark.skipif(sys.platform == "win32", reason="has no such files")
@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_file_but_named_like_a_record_is_a_fault_and_ends_nothing(tmp_path: Path, kind: str) -> None:
    day = write(tmp_path, 1).parent
    make_special(day / "235959.999-00000999.json", kind)
    make_special(tmp_path / "2026-11-22.jsonl", kind)
    make_special(tmp_path / "2026-11-23", kind)
    found: list[list[int]] = []

    def read() -> None:
        traces = TraceReader(str(tmp_path))
        found.extend((ids(list(traces.entries())), ids(traces.last(5)), ids(traces.find(f"{1:06x}"))))
        assert traces.faults or kind == "nowhere"
        traces.skip()
        found.append(ids(traces.follow()))

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    reading.join(PATIENCE_S)
    assert found == [[1], [1], [1], []]
