"""The file of the disk stores: opened by several, killed, full, read only, or not ours at all."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import pytest

from llmproxy.stores.facet import StoreFault, StoreRefusal
from llmproxy.stores.sqlite_connection import APPLICATION, UnusableFile, pragma, writing
from llmproxy.stores.sqlite_file import SqliteFile
from tests.support.special_files import SPECIAL, make_special
from tests.support.stores import LoneDiskBlobs, LoneDiskSessions
from tests.support.waiting import until_async

Open: TypeAlias = Callable[..., SqliteFile]
Upgrades: TypeAlias = Mapping[int, Sequence[str]]

SCHEMA = ("CREATE TABLE things (id INTEGER PRIMARY KEY, value BLOB)",)


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Open]:
    made: list[SqliteFile] = []

    def make(name: str = "store.sqlite", version: int = 1, upgrades: Upgrades | None = None) -> SqliteFile:
        made.append(SqliteFile(tmp_path / name, SCHEMA, version, upgrades))
        return made[-1]

    yield make
    for file in made:
        await file.close()


def put(connection: sqlite3.Connection, value: bytes = b"x") -> None:
    with writing(connection):
        connection.execute("INSERT INTO things (value) VALUES (?)", (value,))


def size_of(path: Path | str) -> int:
    return os.stat(path).st_size


def count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM things").fetchone()[0])


async def test_a_new_file_is_marked_as_ours_and_survives(opened: Open, tmp_path: Path) -> None:
    file = opened()
    await file.run(put)
    await file.close()
    assert await opened().run(count) == 1
    with sqlite3.connect(tmp_path / "store.sqlite") as connection:
        assert pragma(connection, "application_id") == APPLICATION
        assert pragma(connection, "user_version") == 1
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


async def test_many_may_begin_the_file_at_once(opened: Open) -> None:
    files = [opened() for _ in range(8)]
    await asyncio.gather(*(file.run(put) for file in files))
    assert {await file.run(count) for file in files} == {8}


def _foreign(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (a)")
    connection.commit()
    connection.close()


def _older(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute("PRAGMA user_version = 7")
    connection.execute("CREATE TABLE things (other)")
    connection.commit()
    connection.close()


def _text(path: Path) -> None:
    path.write_text("This is no database, but a longer text. " * 100)


def _cut(path: Path) -> None:
    _older(path)
    os.truncate(path, 1000)


def _schema_that_is_no_text(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE things (other)")
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_schema SET sql = CAST(x'435245415445e05441424c45' AS TEXT)")
    connection.commit()
    connection.close()


@pytest.mark.parametrize("spoil", [_older, _text, _cut, _schema_that_is_no_text])
async def test_a_file_that_cannot_be_used_is_set_aside_whole(
    opened: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], None]
) -> None:
    spoil(tmp_path / "store.sqlite")
    before = (tmp_path / "store.sqlite").read_bytes()
    file = opened()
    await file.run(put)
    assert await file.run(count) == 1
    assert (tmp_path / "store.sqlite.unreadable").read_bytes() == before
    assert len(caplog.records) == 1
    assert "cannot be read" in caplog.text and "store.sqlite.unreadable" in caplog.text


async def test_a_file_of_an_older_version_is_upgraded_once_by_many(opened: Open, tmp_path: Path) -> None:
    await opened().run(put)
    upgrades = {
        1: ("ALTER TABLE things ADD COLUMN first INTEGER DEFAULT 5",),
        2: ("ALTER TABLE things ADD COLUMN second INTEGER DEFAULT 6",),
    }
    files = [opened(version=3, upgrades=upgrades) for _ in range(8)]
    await asyncio.gather(*(file.run(put) for file in files))
    rows = await files[0].run(lambda connection: connection.execute("SELECT first, second FROM things").fetchall())
    assert rows == [(5, 6)] * 9
    assert await files[0].run(lambda connection: pragma(connection, "user_version")) == 3
    assert not [name for name in os.listdir(tmp_path) if "unreadable" in name]


@pytest.mark.parametrize("upgrades", [{}, {2: ("SELECT 1",)}, {1: ("SELECT 1",), 3: ("SELECT 1",)}])
async def test_a_file_that_no_upgrade_leads_from_is_set_aside(opened: Open, tmp_path: Path, upgrades: Upgrades) -> None:
    await opened().run(put)
    assert await opened(version=3, upgrades=upgrades).run(count) == 0
    assert "store.sqlite.unreadable" in os.listdir(tmp_path)


async def test_an_upgrade_that_fails_changes_nothing(opened: Open) -> None:
    file = opened()
    await file.run(put)
    broken = {1: ("ALTER TABLE things ADD COLUMN more", "ALTER TABLE nothing ADD COLUMN more")}
    with pytest.raises(StoreFault, match="nothing"):
        await opened(version=2, upgrades=broken).run(count)
    rows = await file.run(lambda connection: connection.execute("SELECT * FROM things").fetchall())
    assert rows == [(1, b"x")]


async def test_the_database_of_another_program_is_left_to_it(opened: Open, tmp_path: Path) -> None:
    _foreign(tmp_path / "store.sqlite")
    before = (tmp_path / "store.sqlite").read_bytes()
    for _ in range(2):
        with pytest.raises(UnusableFile, match="another program"):
            await opened().run(put)
    assert os.listdir(tmp_path) == ["store.sqlite"] and (tmp_path / "store.sqlite").read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="has no such modes")
@pytest.mark.parametrize("before", ["new", "loose", "loose and killed", "older"])
async def test_a_file_and_those_beside_it_are_for_their_owner_alone(opened: Open, tmp_path: Path, before: str) -> None:
    umask = os.umask(0)
    try:
        path = tmp_path / "folder" / "store.sqlite"
        if before == "older":
            path.parent.mkdir(mode=0o700)
            _older(path)
        elif before != "new":
            first = opened("folder/store.sqlite")
            await first.run(put)
            if before == "loose":
                await first.close()
            for each in path.parent.iterdir():
                each.chmod(0o666)
        file = opened("folder/store.sqlite")
        await file.run(put)
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in (path.parent, *path.parent.iterdir())}
    finally:
        os.umask(umask)
    assert modes.pop("folder") == 0o700
    assert set(modes.values()) == {0o600} and {"store.sqlite", "store.sqlite-wal", "store.sqlite-shm"} <= set(modes)


@pytest.mark.skipif(sys.platform == "win32", reason="has no such files")
@pytest.mark.parametrize("kind", [kind for kind in SPECIAL if kind != "nowhere"])
async def test_what_is_no_regular_file_can_never_be_used(opened: Open, tmp_path: Path, kind: str) -> None:
    make_special(tmp_path / "store.sqlite", kind)
    with pytest.raises(UnusableFile):
        await opened().run(put)


async def test_a_file_that_another_program_locks_is_a_fault_and_stays(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmproxy.stores.sqlite_connection._BUSY_S", 0.05)
    await opened().run(put)
    other = sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    file = opened()
    with pytest.raises(StoreFault, match="locked"):
        await file.run(put)
    other.execute("ROLLBACK")
    other.close()
    await file.run(put)
    assert await file.run(count) == 2


async def test_a_file_that_breaks_while_it_is_used_is_begun_again(opened: Open, tmp_path: Path) -> None:
    file = opened()
    await file.run(lambda connection: put(connection, b"x" * 100_000))
    await file.run(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
    path = tmp_path / "store.sqlite"
    with path.open("r+b") as stream:
        stream.seek(100)
        stream.write(os.urandom(path.stat().st_size - 100))
    other = opened()
    await other.run(put)
    await file.run(put)
    assert await file.run(count) == await other.run(count) == 2


async def test_a_file_that_was_deleted_is_begun_again(opened: Open, tmp_path: Path) -> None:
    file = opened()
    await file.run(put)
    for name in os.listdir(tmp_path):
        os.unlink(tmp_path / name)
    await file.run(put)
    assert await opened().run(count) == 1


async def test_a_place_where_no_file_can_be_is_a_fault(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "directory").mkdir()
    for name in ("file/store.sqlite", "directory"):
        with pytest.raises(StoreFault):
            await opened(name).run(put)
    assert (tmp_path / "directory").is_dir()


async def test_a_full_file_refuses_what_is_new_and_gives_what_it_has(opened: Open) -> None:
    file = opened()
    await file.run(put)
    await file.run(lambda connection: connection.execute("PRAGMA max_page_count = 12").fetchall())
    with pytest.raises(StoreRefusal, match="full"):
        await file.run(lambda connection: put(connection, b"x" * 100_000))
    assert await file.run(count) == 1


async def test_a_file_that_may_not_be_written_gives_what_it_has(opened: Open) -> None:
    file = opened()
    await file.run(put)
    await file.run(lambda connection: connection.execute("PRAGMA query_only = ON").fetchall())
    with pytest.raises(StoreRefusal, match="readonly"):
        await file.run(put)
    assert await file.run(count) == 1


async def test_jobs_for_later_are_done_before_the_end_and_their_faults_are_nobodys(opened: Open) -> None:
    file = opened()
    for _ in range(100):
        assert file.later(put)
    assert file.later(lambda connection: connection.execute("SELECT nothing"))
    await file.close()
    assert not file.later(put)
    with pytest.raises(StoreFault, match="is closed"):
        await file.run(put)
    assert await opened().run(count) == 100


async def test_jobs_beyond_the_room_for_them_are_refused(opened: Open) -> None:
    file = opened()
    taken = sum(file.later(put) for _ in range(5000))
    assert 1024 <= taken < 5000
    assert await file.run(count) == taken
    assert file.later(put)


async def test_the_log_beside_the_file_is_written_back_and_free_pages_are_given_back(
    opened: Open, tmp_path: Path
) -> None:
    file, path = opened(), tmp_path / "store.sqlite"
    for _ in range(12):
        await file.run(lambda connection: put(connection, os.urandom(1 << 20)))
        file.tidy_soon(1 << 20)
    await file.run(count)
    full = path.stat().st_size
    assert full > 7 << 20, "most of it was checkpointed"
    await file.run(lambda connection: connection.execute("DELETE FROM things"))
    file.tidy()
    await until_async(lambda: path.stat().st_size < full / 3, "the file to shrink")
    for _ in range(100):
        await file.run(lambda connection: put(connection, os.urandom(1 << 16)))
        file.tidy_soon(1 << 16)
    assert size_of(f"{path}-wal") < 16 << 20


async def test_a_large_log_is_not_written_back_after_every_small_write(opened: Open) -> None:
    file = opened()
    statements: list[str] = []
    await file.run(lambda connection: put(connection, os.urandom(8 << 20)))
    file.tidy_soon(8 << 20)
    await file.run(lambda connection: connection.set_trace_callback(statements.append))
    for _ in range(500):
        await file.run(put)
        file.tidy_soon(1)
    await file.run(count)
    assert 1 <= sum("wal_checkpoint" in each for each in statements) < 10


_WRITER = """
import asyncio, sys
from pathlib import Path
from llmproxy.stores.sessions import SessionOutcome, Visit
from tests.support.special_files import SPECIAL, make_special
from tests.support.stores import LoneDiskBlobs, LoneDiskSessions

async def main(path, who, count):
    blobs, state = LoneDiskBlobs(Path(path), 50_000_000), LoneDiskSessions(Path(path), 1000, 3600.0, lambda: 1e9)
    for number in range(int(count)):
        value = f"{who} {number} ".encode() * 300
        await blobs.set(f"{who}:{number}", value, 3600.0)
        assert await blobs.get(f"{who}:{number}") == value
        visit = Visit(tenant="t", client=who, keys=["k"], learn=["k"], session="s", now_s=1e9 + number)
        await state.touch(visit)
        state.settle(SessionOutcome(session="s", tenant="t", input_tokens=1))
        print(number, flush=True)
    await blobs.close()
    await state.close()

asyncio.run(main(*sys.argv[1:]))
"""


def writer(path: Path, who: str, count: int) -> subprocess.Popen[str]:
    """Return a process that writes values and sessions, and a line after each."""
    command = [sys.executable, "-c", _WRITER, str(path), who, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


async def test_two_processes_write_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    writers = [writer(path, who, 100) for who in ("one", "two")]
    told = [await asyncio.to_thread(each.communicate, timeout=60) for each in writers]
    assert [each.returncode for each in writers] == [0, 0], told
    blobs, state = LoneDiskBlobs(path, 50_000_000), LoneDiskSessions(path, 1000, 3600.0, lambda: 1e9)
    assert (await blobs.size()).entries == 200
    for who in ("one", "two"):
        assert await blobs.get(f"{who}:99") == f"{who} 99 ".encode() * 300
    [session] = await state.sessions(10)
    assert (session.id, session.input_tokens) == ("s", 200)
    await blobs.close()
    await state.close()


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signal")
async def test_what_was_written_before_a_kill_is_there_after_it(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    for turn in range(3):
        process = writer(path, f"turn{turn}", 100_000)
        assert process.stdout and process.stderr
        lines = [await asyncio.to_thread(process.stdout.readline) for _ in range(50)]
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        process.stderr.close()
        blobs, state = LoneDiskBlobs(path, 50_000_000), LoneDiskSessions(path, 1000, 3600.0, lambda: 1e9)
        for line in lines:
            assert await blobs.get(f"turn{turn}:{int(line)}") is not None
        await blobs.set("mine", b"x", 60.0)
        assert await blobs.get("mine") == b"x"
        [session] = await state.sessions(10)
        assert session.seen_s >= 1e9 + 49
        await blobs.close()
        await state.close()
    assert "store.sqlite.unreadable" not in os.listdir(tmp_path)


_LIMITED = """
import asyncio, resource, sys
from pathlib import Path
from llmproxy.stores.facet import StoreFault
from tests.support.special_files import SPECIAL, make_special
from tests.support.stores import LoneDiskBlobs

async def main(path):
    blobs = LoneDiskBlobs(Path(path), 1 << 30)
    await blobs.set("before", b"x" * 1000, 3600.0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    refused = 0
    for number in range(40):
        try:
            await blobs.set(f"k{number}", b"x" * 100_000, 3600.0)
        except StoreFault as fault:
            refused += 1
            assert await blobs.get("before") == b"x" * 1000
    print(refused)
    await blobs.close()

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no such limits")
async def test_a_disk_without_room_is_a_fault_for_each_write_and_reading_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _LIMITED, str(tmp_path / "store.sqlite")]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert 20 < int(ended.stdout) <= 40
    blobs = LoneDiskBlobs(tmp_path / "store.sqlite", 1 << 30)
    assert await blobs.get("before") == b"x" * 1000
    await blobs.set("after", b"x", 60.0)
    assert await blobs.get("after") == b"x"
    await blobs.close()
    assert "store.sqlite.unreadable" not in os.listdir(tmp_path)


async def test_a_mistake_in_a_job_for_later_is_logged(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    def mistaken(connection: sqlite3.Connection) -> None:
        raise ZeroDivisionError

    caplog.set_level(logging.ERROR)
    file = opened()
    assert file.later(mistaken)
    await file.run(count)
    assert "ZeroDivisionError" in caplog.text
