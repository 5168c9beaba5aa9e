"""The counts that the tables keep by themselves, and files that an older version made."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from llmproxy.stores.disk_tables import BLOBS, RESPONSES, open_file, totals
from llmproxy.stores.disk_values import ROW_BYTES, DiskBlobs
from llmproxy.stores.sessions import VisitResult
from tests.stores.conftest import Clock
from tests.stores.test_sessions import known, settled, visit
from tests.support.stores import LoneDiskSessions

OLD = Path(__file__).parent.parent / "golden" / "stores" / "disk-4.sql"


def columns(path: Path) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return sorted((name, *row) for name in tables for row in connection.execute(f"PRAGMA table_info({name})"))


async def test_each_table_of_values_is_counted_alone(tmp_path: Path) -> None:
    file = open_file(tmp_path / "store.sqlite")
    await DiskBlobs(file, 10_000).set("k", b"x" * 10, 60.0)
    assert await file.run(lambda connection: totals(connection, BLOBS)) == (1, ROW_BYTES + 11)
    assert await file.run(lambda connection: totals(connection, RESPONSES)) == (0, 0)
    await file.close()


async def test_a_file_that_an_older_version_made_goes_on(tmp_path: Path, clock: Clock) -> None:
    path, new = tmp_path / "store.sqlite", tmp_path / "new.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(OLD.read_text(encoding="utf-8"))
    sessions, begun = LoneDiskSessions(path, 10, 60.0, clock), LoneDiskSessions(new, 10, 60.0, clock)
    assert await sessions.touch(visit(None, "a")) == VisitResult(session="s", place=0, created=False)
    sessions.settle(settled("s", input_tokens=100, cached_tokens=80, model="m"))
    found = await known(sessions, "s", 4)
    assert (found.input_tokens, found.output_tokens, found.cached_tokens, found.cost_usd) == (1000, 40, 80, 0.5)
    await sessions.touch(visit("another"))
    assert [each.id for each in await sessions.sessions(10)] == ["another", "s"]
    assert await begun.counts() is not None
    for each in (sessions, begun):
        await each.close()
    assert columns(path) == columns(new), "an upgraded file has the tables of a new one"
