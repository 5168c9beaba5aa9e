"""Reading the database of traces, whatever its state."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from llmproxy.records.found_records import read_record
from llmproxy.records.sqlite_schema import DATABASE
from llmproxy.records.sqlite_traces import SqliteTraces
from llmproxy.records.trace_reader import TraceReader
from llmproxy.wire.repeated_json import JsonMemory
from tests.support.records import append, ids, write
from tests.support.special_files import SPECIAL, make_special
from tests.support.trace_stores import conversation, sqlite_traces, turn_record
from tests.support.waiting import PATIENCE_S


def add(rows: SqliteTraces, *numbers: int) -> None:
    for number in numbers:
        rows.write(turn_record(number, b'{"messages":[]}', JsonMemory()))
    rows.flush()


def filled(directory: Path, *numbers: int) -> TraceReader:
    """Return a reader of a directory with a closed database of these records."""
    rows = sqlite_traces(directory)
    add(rows, *numbers)
    rows.close()
    return TraceReader(str(directory))


def test_records_are_listed_by_time_among_those_of_other_formats(tmp_path: Path) -> None:
    traces = filled(tmp_path, 3, 1, 6)
    write(tmp_path, 2)
    append(tmp_path, 5)
    assert ids(traces.entries()) == [1, 2, 3, 5, 6]
    assert ids(traces.last(3)) == [3, 5, 6] and ids(traces.last(1)) == [6]
    assert [record.id[:6] for record, _ in traces.records(traces.last(2))] == ["000005", "000006"]
    assert traces.faults == [] and DATABASE in os.listdir(tmp_path)
    assert not {f"{DATABASE}-wal", f"{DATABASE}-shm"} & {*os.listdir(tmp_path)}, "reading leaves nothing behind"


def test_a_record_is_found_by_its_id_and_by_the_request_id(tmp_path: Path) -> None:
    traces = filled(tmp_path, 1, 2, 16)
    assert ids(traces.find("00000")) == [1, 2]
    assert ids(traces.find("000010aaaa")) == [16]
    assert ids(traces.find("req-16")) == [16]
    assert traces.find("_") == traces.find("%") == []


def test_new_records_are_followed_in_the_order_in_which_they_end(tmp_path: Path) -> None:
    traces = TraceReader(str(tmp_path))
    traces.skip()
    rows = sqlite_traces(tmp_path)
    add(rows, 5, 6)
    assert ids(traces.follow()) == [5, 6]
    add(rows, 1)
    assert ids(traces.follow()) == [1] and traces.follow() == []
    traces = TraceReader(str(tmp_path))
    traces.skip()
    add(rows, 7)
    assert ids(traces.follow()) == [7]
    rows.close()
    (tmp_path / DATABASE).rename(tmp_path / "moved")
    assert traces.follow() == []
    filled(tmp_path, 2)
    assert ids(traces.follow()) == [2]
    assert traces.faults == []


def _other_program(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")


def _newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 7")


def _no_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE records")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda path: path.write_bytes(b"no database " * 100), "file is not a database"),
        (_other_program, "it is the database of another program"),
        (_newer, "it has version 7, written by a newer llmproxy; this one reads version 1"),
        (_no_table, "no such table: records"),
    ],
)
def test_a_database_that_cannot_be_read_is_a_fault(tmp_path: Path, spoil: Callable[[Path], None], why: str) -> None:
    traces = filled(tmp_path, 1)
    [found] = traces.entries()
    spoil(tmp_path / DATABASE)
    write(tmp_path, 2)
    assert ids(traces.entries()) == [2]
    assert [(fault.path, fault.why) for fault in traces.faults] == [(str(tmp_path / DATABASE), why)]
    with pytest.raises(ValueError, match=why[:10]):
        read_record(found.place)


def test_a_page_that_is_damaged_costs_what_is_behind_it(tmp_path: Path) -> None:
    rows = sqlite_traces(tmp_path)
    add(rows, *range(200))
    rows.close()
    with (tmp_path / DATABASE).open("r+b") as file:
        file.seek(10 * 4096)
        file.write(b"\xff" * 4096 * 5)
    traces = TraceReader(str(tmp_path))
    assert len([*traces.entries()]) < 200
    assert [fault.why for fault in traces.faults] == ["database disk image is malformed"]


def test_rows_that_are_no_records_are_faults_of_their_own(tmp_path: Path) -> None:
    traces = filled(tmp_path, 1, 2, 3, 4)
    with closing(sqlite3.connect(tmp_path / DATABASE, isolation_level=None)) as connection:
        connection.execute("UPDATE records SET head = '{' WHERE number = 1")
        connection.execute("UPDATE records SET head = x'ff' WHERE number = 2")
        connection.execute("UPDATE records SET head = replace(head, '\"version\":1', '\"version\":9') WHERE number = 3")
    assert ids(traces.entries()) == [4]
    reasons = [fault.why for fault in traces.faults]
    assert ["cut off" in each for each in reasons] == [True, True, False] and "version 9" in reasons[2]


def test_a_piece_that_is_missing_is_a_fault_of_the_records_with_it(tmp_path: Path) -> None:
    rows, memory = sqlite_traces(tmp_path), JsonMemory()
    for number, raw in enumerate(conversation("a", 3)):
        rows.write(turn_record(number, raw, memory))
    rows.flush()
    rows.close()
    with closing(sqlite3.connect(tmp_path / DATABASE, isolation_level=None)) as connection:
        connection.execute("DELETE FROM pieces WHERE number = (SELECT max(number) FROM pieces)")
    traces = TraceReader(str(tmp_path))
    assert len([*traces.records(traces.entries())]) == 2
    assert [fault.why for fault in traces.faults] == ["a piece of its body is missing"]


def test_a_locked_database_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmproxy.records.sqlite_reader._BUSY_S", 0.05)
    traces = filled(tmp_path, 1)
    with closing(sqlite3.connect(tmp_path / DATABASE, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
        other.execute("BEGIN EXCLUSIVE")
        assert [*traces.entries()] == []
        other.execute("ROLLBACK")
    assert [fault.why for fault in traces.faults] == ["database is locked"]


def test_a_database_without_tables_yet_has_no_records(tmp_path: Path) -> None:
    (tmp_path / DATABASE).touch()
    traces = TraceReader(str(tmp_path))
    assert [*traces.entries()] == [] and traces.faults == []


@pytest.mark.skipif(sys.platform == "win32", reason="has no such files")
@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_file_is_a_fault_and_ends_nothing(tmp_path: Path, kind: str) -> None:
    make_special(tmp_path / DATABASE, kind)
    traces, found = TraceReader(str(tmp_path)), list[int]()

    def read() -> None:
        found.append(len([*traces.entries(), *traces.last(1), *traces.follow()]))

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    reading.join(PATIENCE_S)
    assert found == [0] and (traces.faults or kind == "nowhere")


@pytest.fixture
def public_path() -> Iterator[Path]:
    """Yield a directory that other users can reach."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    yield made
    made.chmod(0o755)
    shutil.rmtree(made)


@pytest.fixture
def another_user() -> Iterator[Callable[[], None]]:
    """Yield a function after which this process has the rights of another user until the test ends."""
    before = os.geteuid() if sys.platform != "win32" else 0
    yield lambda: os.seteuid(65534) if before == 0 else None
    if before == 0:
        os.seteuid(0)


@pytest.mark.skipif(sys.platform == "win32", reason="has other permissions")
@pytest.mark.parametrize("running", [False, True])
def test_a_place_that_cannot_be_written_is_read(
    public_path: Path, another_user: Callable[[], None], running: bool
) -> None:
    rows = sqlite_traces(public_path)
    add(rows, 1, 2)
    if not running:
        rows.close()
    for path in public_path.iterdir():
        path.chmod(0o444)
    public_path.chmod(0o555)
    another_user()
    traces = TraceReader(str(public_path))
    assert ids(traces.entries()) == [1, 2] and ids(each for each in traces.last(1)) == [2]
    assert [record.id[:6] for record, _ in traces.records(traces.entries())] == ["000001", "000002"]
    assert traces.faults == []
    if running and os.geteuid() == 65534:
        os.seteuid(0)
    rows.close()


@pytest.mark.skipif(sys.platform == "win32", reason="has other permissions")
def test_a_log_that_cannot_be_read_there_is_a_fault(public_path: Path, another_user: Callable[[], None]) -> None:
    rows = sqlite_traces(public_path / "live")
    add(rows, 1)
    (public_path / "copy").mkdir()
    for name in (DATABASE, f"{DATABASE}-wal"):
        shutil.copy(public_path / "live" / name, public_path / "copy")
        (public_path / "copy" / name).chmod(0o444)
    rows.close()
    (public_path / "copy").chmod(0o555)
    another_user()
    traces = TraceReader(str(public_path / "copy"))
    assert [*traces.entries()] == []
    assert "traces.sqlite-wal beside it holds records" in traces.faults[0].why
