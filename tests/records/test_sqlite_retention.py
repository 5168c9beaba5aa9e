"""Old records leave the database of traces, with what only they had, and the file becomes smaller."""

from __future__ import annotations

import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from llmproxy.records.sqlite_schema import DATABASE
from llmproxy.records.sqlite_traces import SqliteTraces
from llmproxy.records.trace_reader import TraceReader
from llmproxy.wire.repeated_json import JsonMemory
from llmproxy.wire.timestamp import format_timestamp
from tests.support.records import ids, write
from tests.support.trace_stores import conversation, sqlite_traces, turn_record

DAY_S = 86_400.0


def noise(size_bytes: int, seed: int) -> bytes:
    """Return a body that cannot be compressed."""
    return random.Random(seed).randbytes(size_bytes // 2).hex().encode()


def add(rows: SqliteTraces, number: int, raw: bytes, memory: JsonMemory | None = None, *, age_s: float = 0.0) -> None:
    started = format_timestamp(time.time() - age_s)
    rows.write(turn_record(number, raw, memory or JsonMemory(), started=started))
    rows.flush()


def pieces(directory: Path) -> int:
    with closing(sqlite3.connect(directory / DATABASE)) as connection:
        return int(connection.execute("SELECT count(*) FROM pieces").fetchone()[0])


def left(directory: Path) -> list[int]:
    """Return the numbers of the records that are left; all of them must be whole."""
    traces = TraceReader(str(directory))
    found = [*traces.entries()]
    assert len([*traces.records(found)]) == len(found) and traces.faults == []
    return ids(found)


def test_without_limits_nothing_is_removed(tmp_path: Path) -> None:
    rows = sqlite_traces(tmp_path)
    add(rows, 1, b"{}", age_s=1000 * DAY_S)
    rows.flush()
    rows.close()
    assert left(tmp_path) == [1]


def test_records_that_are_too_old_go_with_the_pieces_that_only_they_had(tmp_path: Path) -> None:
    memory, everything = JsonMemory(), sqlite_traces(tmp_path)
    for number, raw in enumerate([*conversation("gone", 2), *conversation("stays", 3)]):
        add(everything, number, raw, memory, age_s=40 * DAY_S - number * 5 * DAY_S)
    everything.close()
    before = pieces(tmp_path)
    rows = sqlite_traces(tmp_path, max_age_s=29 * DAY_S)
    rows.flush()  # nothing is written
    rows.close()
    assert left(tmp_path) == [3, 4]
    assert (before, pieces(tmp_path)) == (109, 57)


def test_ages_are_looked_at_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = sqlite_traces(tmp_path, max_age_s=30 * DAY_S)
    rows.flush()
    add(rows, 1, b"{}", age_s=31 * DAY_S)
    assert left(tmp_path) == [1], "that soon nothing is looked at"
    later_s = time.monotonic() + 3600
    monkeypatch.setattr(time, "monotonic", lambda: later_s)
    rows.flush()
    rows.close()
    assert left(tmp_path) == []


def test_the_oldest_records_go_when_all_are_too_large_and_the_file_shrinks(tmp_path: Path) -> None:
    rows, limit = sqlite_traces(tmp_path, max_bytes=1_000_000), 1_000_000
    sizes = []
    for number in range(40):
        add(rows, number, noise(100_000, number), age_s=40.0 - number)
        sizes.append((tmp_path / DATABASE).stat().st_size)
    rows.close()
    kept = left(tmp_path)
    assert kept == [*range(kept[0], 40)] and 12 <= len(kept) <= 20
    assert max(sizes) <= limit and (tmp_path / DATABASE).stat().st_size <= limit


def test_a_much_smaller_limit_shrinks_the_file_at_once(tmp_path: Path) -> None:
    rows, memory = sqlite_traces(tmp_path), JsonMemory()
    for number in range(30):
        add(rows, number, noise(100_000, number), age_s=40.0 - number)
    for number, raw in enumerate(conversation("a", 5), 30):
        add(rows, number, raw, memory, age_s=40.0 - number)
    rows.close()
    assert (tmp_path / DATABASE).stat().st_size > 1_500_000
    rows = sqlite_traces(tmp_path, max_bytes=300_000)
    add(rows, 35, b"{}")
    rows.close()
    assert (tmp_path / DATABASE).stat().st_size <= 300_000
    assert left(tmp_path)[-6:] == [30, 31, 32, 33, 34, 35]


def test_records_of_one_moment_go_together_when_there_is_no_room(tmp_path: Path) -> None:
    rows = sqlite_traces(tmp_path, max_bytes=400_000)
    for number in range(10):
        rows.write(turn_record(number, noise(100_000, number), JsonMemory(), started="2026-01-02T03:04:05.000000Z"))
    rows.flush()
    rows.close()
    assert left(tmp_path) == [] and (tmp_path / DATABASE).stat().st_size <= 400_000


def test_a_writer_that_knows_pieces_stores_those_again_that_another_process_removed(tmp_path: Path) -> None:
    writer, remover, memory = sqlite_traces(tmp_path), sqlite_traces(tmp_path, max_age_s=DAY_S), JsonMemory()
    first, second = conversation("a", 2)
    add(writer, 1, first, memory, age_s=2 * DAY_S)
    remover.flush()
    assert left(tmp_path) == [] and pieces(tmp_path) == 0
    add(writer, 2, second, memory)
    assert left(tmp_path) == [2]
    writer.close()
    remover.close()


def test_pieces_are_removed_in_steps_between_which_others_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmproxy.records.sqlite_retention._STEP_S", 0.0)
    monkeypatch.setattr("llmproxy.records.sqlite_retention._STEP_PIECES", 10)
    rows, memory = sqlite_traces(tmp_path), JsonMemory()
    for number, raw in enumerate(conversation("a", 2)):
        add(rows, number, raw, memory, age_s=DAY_S)
    rows.close()
    rows = sqlite_traces(tmp_path, max_age_s=3600.0)
    add(rows, 2, b"{}")
    rows.close()
    assert left(tmp_path) == [2] and pieces(tmp_path) == 0


def test_files_of_other_formats_go_first(tmp_path: Path) -> None:
    old = write(tmp_path, 99, request={"headers": None, "size": 1, "format": "json", "body": "x" * 200_000})
    rows = sqlite_traces(tmp_path, max_bytes=300_000)
    add(rows, 1, noise(150_000, 1))
    rows.close()
    assert not old.exists() and left(tmp_path) == [1]
