from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from pathlib import Path

import pytest

from llmproxy.records.trace_files import FoundEntry, RecordLocation, TraceReader, read_record
from tests.support.records import append, head, text, write
from tests.support.special_files import SPECIAL, make_special


def ids(found: list[FoundEntry]) -> list[int]:
    return [int(each.entry.id[:6], 16) for each in found]


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


def test_the_last_lines_are_read_from_behind(tmp_path: Path) -> None:
    big = {"model": "m", "padding": "x" * 50_000}
    for number in range(8):
        append(tmp_path, number, request={"headers": None, "size": 1, "format": "json", "body": big})
    (path,) = tmp_path.glob("*.jsonl")
    path.write_bytes(b"no record\n" + path.read_bytes())
    traces = TraceReader(str(tmp_path))
    assert ids(traces.last(3)) == [5, 6, 7]
    assert traces.faults == []  # what is wrong before was not looked at


def test_a_head_longer_than_usual_and_another_layout_are_read_too(tmp_path: Path) -> None:
    write(tmp_path, 1, dropped=["x" * 30_000])
    pretty = write(tmp_path, 2)
    pretty.write_text(json.dumps(json.loads(pretty.read_text()), indent=2))
    traces = TraceReader(str(tmp_path))
    assert ids(list(traces.entries())) == [1, 2]
    assert traces.faults == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (text()[:100], "cut off"),
        (text()[:-30], None),
        ("", "cut off"),
        ("\x00\xff", "cut off"),
        ("[1, 2]", "not JSON"),
        ('{"a": 1}', "not a trace record"),
        (text(version=99), "version 99"),
        (json.dumps(head(duration_ms="long")), "not a trace record"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_what_is_no_record_is_reported_and_passed_over(tmp_path: Path, content: str, why: str | None) -> None:
    write(tmp_path, 5)
    write(tmp_path, 6).write_text(content, encoding="latin-1")
    traces = TraceReader(str(tmp_path))
    found = ids(list(traces.entries()))
    if why is None:  # the head is whole: only who reads all of it can see
        assert found == [5, 0]
    else:
        assert found == [5]
        assert [why in fault.why for fault in traces.faults] == [True], traces.faults


def test_other_files_and_halves_of_files_are_not_looked_at(tmp_path: Path) -> None:
    day = write(tmp_path).parent
    for name in ("notes.txt", ".030405.000-aa.json.tmp", ".hidden.json"):
        (day / name).write_text("nothing")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.json").write_text("nothing")
    traces = TraceReader(str(tmp_path))
    assert len(list(traces.entries())) == 1 and traces.faults == []


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
    assert listed == [str(tmp_path)]


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


@pytest.mark.parametrize("content", [text()[:-30], text(version=2), "{}"])
def test_reading_what_is_no_record_says_why(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"cut off|newer|not a trace record"):
        read_record(RecordLocation(str(path)))


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
    reading.join(20)
    assert found == [[1], [1], [1], []]


@pytest.mark.skipif(sys.platform == "win32", reason="has no such files")
def test_a_line_without_end_is_read_up_to_the_largest_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmproxy.records.trace_files._MOST_BYTES", 1 << 20)
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
