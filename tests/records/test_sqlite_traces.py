"""The database of traces: what it gives back is what a file of JSON holds, and what repeats is stored once."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from llmproxy.records.record import WrittenRecord
from llmproxy.records.sqlite_schema import DATABASE
from llmproxy.records.trace_reader import TraceReader
from llmproxy.wire.repeated_json import JsonMemory
from tests.support.agent_turns import agent_turns
from tests.support.records import ids
from tests.support.trace_stores import conversation, record_files, sqlite_traces, turn_record

GOLDEN = Path(__file__).parents[1] / "golden" / "sessions"
LONG = [{"role": "user", "content": f"{number} " + "word " * 80} for number in range(45)]


def texts(directory: Path) -> list[bytes]:
    traces = TraceReader(str(directory))
    found = [*traces.texts(traces.entries())]
    assert traces.faults == []
    return found


def number_of(directory: Path, table: str) -> int:
    with closing(sqlite3.connect(directory / DATABASE)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def interleaved(chance: random.Random, *sessions: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the turns of several sessions as they come, and some of them again."""
    running = [*sessions]
    while running:
        session = chance.choice(running)
        body = next(session, None)
        if body is None:
            running.remove(session)
            continue
        yield body
        if chance.random() < 0.1:
            yield body


def golden_turns(chance: random.Random) -> Iterator[bytes]:
    """Yield golden requests of agents, and what they are behind a long conversation."""
    for path in chance.sample(sorted(GOLDEN.glob("*.json")), 5):
        recordings = json.loads(path.read_bytes())["recordings"]
        for body in (each["body"] for turns in recordings.values() for each in turns if "messages" in each["body"]):
            yield json.dumps(body).encode()
            yield json.dumps({**body, "messages": [*LONG, *body["messages"]]}, ensure_ascii=False).encode()


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 14))])
def test_a_database_gives_back_what_files_hold(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    sessions = [agent_turns("/messages", chance, 8) for _ in range(2)]
    sessions += [conversation("a", 6), conversation("a", 6, marks=True), conversation("b", 4), golden_turns(chance)]
    paths = ["messages[*].api_key"] if seed % 2 else []
    files, rows = record_files(tmp_path / "files"), sqlite_traces(tmp_path / "rows")
    memory = JsonMemory(1 << 20)
    for number, raw in enumerate(interleaved(chance, *sessions)):
        secrets = ("sk-client-secret",) if chance.random() < 0.8 else ("sk-client-secret", "turn 3")
        record = turn_record(number, raw, memory, secrets=secrets, paths=paths)
        files.write(record)
        rows.write(record)
        if chance.random() < 0.3:
            rows.flush()
    rows.flush()
    rows.close()
    assert texts(tmp_path / "rows") == texts(tmp_path / "files")
    assert (tmp_path / "rows" / DATABASE).stat().st_size < sum(map(len, texts(tmp_path / "files"))) / 3


def test_a_message_is_stored_once_and_what_is_known_is_not_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, memory = sqlite_traces(tmp_path), JsonMemory()
    hashed: list[int] = []
    real = rows._store

    def store(connection: sqlite3.Connection, piece: bytes) -> int:
        hashed.append(len(piece))
        return real(connection, piece)

    monkeypatch.setattr(rows, "_store", store)
    counts = []
    for number, raw in enumerate(conversation("a", 5)):
        rows.write(turn_record(number, raw, memory))
        rows.flush()
        counts.append((len(hashed), number_of(tmp_path, "pieces")))
        hashed.clear()
    rows.close()
    assert counts[0] == (55, 55) and [stored for stored, _ in counts[1:]] == [1, 1, 1, 1]
    assert [pieces for _, pieces in counts] == [55, 56, 57, 58, 59]


def test_the_next_process_finds_what_is_there(tmp_path: Path) -> None:
    for number, raw in enumerate(conversation("a", 3)):
        rows = sqlite_traces(tmp_path)
        rows.write(turn_record(number, raw, JsonMemory()))
        rows.flush()
        rows.close()
    assert number_of(tmp_path, "pieces") == 57
    assert len(texts(tmp_path)) == 3


def test_without_dedupe_a_record_is_whole(tmp_path: Path) -> None:
    rows, [raw] = sqlite_traces(tmp_path, dedupe=False), conversation("a", 1)
    record = turn_record(1, raw, JsonMemory())
    rows.write(record)
    rows.flush()
    rows.close()
    assert number_of(tmp_path, "pieces") == 0 and texts(tmp_path) == [record.text]
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
        query = "SELECT json_extract(substr(head, 1, length(head) - 1) || rest, '$.request.body.model') "
        assert connection.execute(query + "FROM records JOIN contents USING (number)").fetchall() == [("m",)]


def test_a_short_body_is_stored_with_its_record(tmp_path: Path) -> None:
    rows = sqlite_traces(tmp_path)
    records = [turn_record(0, b'{"messages":[{"a":1}]}', JsonMemory()), turn_record(1, b"\xff no JSON", JsonMemory())]
    for record in records:
        rows.write(record)
    rows.flush()
    rows.close()
    assert number_of(tmp_path, "pieces") == 0
    assert texts(tmp_path) == [record.text for record in records]


@pytest.mark.skipif(sys.platform == "win32", reason="has other permissions")
def test_the_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    rows = sqlite_traces(tmp_path / "deep" / "traces")
    rows.write(turn_record(1, b"{}", JsonMemory()))
    rows.flush()
    assert sorted(os.listdir(tmp_path / "deep" / "traces")) == [DATABASE, f"{DATABASE}-shm", f"{DATABASE}-wal"]
    assert not any(stat.S_IMODE(path.stat().st_mode) & 0o077 for path in (tmp_path / "deep").rglob("*"))
    rows.close()
    assert os.listdir(tmp_path / "deep" / "traces") == [DATABASE]


def test_records_that_found_no_room_are_lost_and_later_ones_are_whole(tmp_path: Path) -> None:
    rows, memory = sqlite_traces(tmp_path), JsonMemory()
    first, second, third = conversation("a", 3)
    rows.write(turn_record(1, first, memory))
    rows.flush()
    rows._file.do(lambda connection: connection.execute("PRAGMA max_page_count = 1").fetchall())
    rows.write(turn_record(2, second, memory))
    rows.write(turn_record(3, os.urandom(200_000).hex().encode(), memory))
    with pytest.raises(OSError, match="full"):
        rows.flush()
    last = turn_record(4, third, memory)
    rows.write(last)
    rows.flush()
    rows.close()
    assert texts(tmp_path)[1:] == [last.text]


def test_a_database_that_goes_away_is_made_again(tmp_path: Path) -> None:
    rows, memory = sqlite_traces(tmp_path / "traces"), JsonMemory()
    for number, raw in enumerate(conversation("a", 3)):
        record = turn_record(number, raw, memory)
        rows.write(record)
        rows.flush()
        assert texts(tmp_path / "traces") == [record.text]
        shutil.rmtree(tmp_path / "traces")
    rows.close()


def test_a_broken_database_is_set_aside_and_none_of_those_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for content in (b"no database" * 100, b"neither" * 100):
        (tmp_path / DATABASE).write_bytes(content)
        rows = sqlite_traces(tmp_path)
        with caplog.at_level(logging.WARNING):
            rows.check()
            rows.write(turn_record(1, b"{}", JsonMemory()))
            rows.flush()
        rows.close()
        assert len(texts(tmp_path)) == 1
    assert (tmp_path / f"{DATABASE}.unreadable").read_bytes().startswith(b"no database")
    assert (tmp_path / f"{DATABASE}.unreadable-2").read_bytes().startswith(b"neither")
    assert "was renamed to traces.sqlite.unreadable-2" in caplog.text


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("CREATE TABLE theirs (x)", "traces.sqlite: it is the database of another program"),
        ("PRAGMA application_id = 5", "traces.sqlite: it is the database of another program"),
        ("PRAGMA application_id = 0x6C6C6D74; PRAGMA user_version = 2", "its version is 2, this llmproxy writes 1"),
    ],
)
def test_a_database_that_is_not_ours_is_left_alone(tmp_path: Path, statement: str, why: str) -> None:
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
        connection.executescript(statement)
    before = (tmp_path / DATABASE).read_bytes()
    rows = sqlite_traces(tmp_path)
    with pytest.raises(ValueError, match=why):
        rows.check()
    rows.write(turn_record(1, b"{}", JsonMemory()))
    with pytest.raises(OSError, match=why.rpartition(": ")[2]):
        rows.flush()
    rows.close()
    assert os.listdir(tmp_path) == [DATABASE] and (tmp_path / DATABASE).read_bytes() == before


def test_a_place_where_no_file_can_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises((OSError, ValueError)):
        sqlite_traces(tmp_path / "file").check()
    (tmp_path / DATABASE).mkdir()
    with pytest.raises(ValueError, match="is a directory"):
        sqlite_traces(tmp_path).check()


def test_a_database_that_another_process_locks_loses_records_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmproxy.stores.sqlite_connection._BUSY_S", 0.05)
    rows = sqlite_traces(tmp_path)
    rows.check()
    with closing(sqlite3.connect(tmp_path / DATABASE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        rows.write(turn_record(1, b"{}", JsonMemory()))
        with pytest.raises(OSError, match="locked"):
            rows.flush()
        other.execute("ROLLBACK")
    rows.write(turn_record(2, b"{}", JsonMemory()))
    rows.flush()
    rows.close()
    assert ids(TraceReader(str(tmp_path)).entries()) == [2]


_WRITES = """
import itertools, os, sys
from pathlib import Path
from llmproxy.wire.repeated_json import JsonMemory
from tests.support.trace_stores import conversation, sqlite_traces, turn_record

rows, memory, first = sqlite_traces(Path(sys.argv[1])), JsonMemory(), int(sys.argv[2])
for number, raw in enumerate(itertools.islice(itertools.cycle(conversation("a", 30)), int(sys.argv[3]))):
    rows.write(turn_record(first + number, raw, memory))
    rows.flush()
    print(number, flush=True)
"""


def write_elsewhere(directory: Path, first: int, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _WRITES, str(directory), str(first), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_several_processes_write_and_share_pieces(tmp_path: Path) -> None:
    running = [write_elsewhere(tmp_path, 1000 * each, 30) for each in range(2)]
    for process in running:
        process.communicate()
    expected = [turn_record(0, raw, JsonMemory()) for raw in conversation("a", 30)]
    found = texts(tmp_path)
    assert len(found) == 60 and {*map(body_of, found)} == {bytes(record.body) for record in expected}
    assert number_of(tmp_path, "pieces") == 84


def body_of(text: bytes) -> bytes:
    return text.partition(b'"body":')[2].partition(b',"truncated"')[0]


def test_a_killed_process_leaves_whole_records(tmp_path: Path) -> None:
    with write_elsewhere(tmp_path, 0, 10**6) as process:
        assert process.stdout is not None
        for _ in range(20):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert f"{DATABASE}-wal" in os.listdir(tmp_path)
    found = texts(tmp_path)
    assert len(found) >= 20 and b'"a, turn 19"' in body_of(found[19])


def test_records_have_the_parts_of_their_text() -> None:
    assert WrittenRecord(started="", id="", head=b"{", before=b"a", body=memoryview(b"b"), after=b"}").text == b"{ab}"
