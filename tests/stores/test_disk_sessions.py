"""What only sessions on disk do. What all sessions do is in `test_sessions`."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest

from llmproxy.stores.disk_sessions import DiskSessions
from llmproxy.stores.disk_tables import open_file
from llmproxy.stores.sessions import SessionOutcome
from tests.stores.conftest import Clock
from tests.stores.test_sessions import visit


async def test_users_with_other_bounds_see_the_same_sessions(tmp_path: Path, clock: Clock) -> None:
    file = open_file(tmp_path / "store.sqlite")
    large, small = DiskSessions(file, 10, 60.0, clock), DiskSessions(file, 2, 60.0, clock)
    await asyncio.gather(*(large.touch(visit(f"s{number}")) for number in range(5)))
    assert len(await small.sessions(10)) == 5
    await small.touch(visit("one more"))
    assert "one more" in [each.id for each in await large.sessions(10)]
    assert len(await large.sessions(10)) == 2
    await file.close()


@pytest.mark.parametrize(
    ("values", "readable"),
    [
        ("models = '{garbage'", True),
        ("models = '[1]', sketch = 'text'", True),
        ("models = x'ff', sketch = 7", True),
        ("started = 'abc'", False),
    ],
)
async def test_a_session_that_cannot_be_read_fails_nothing(
    tmp_path: Path, clock: Clock, values: str, readable: bool
) -> None:
    path = tmp_path / "store.sqlite"
    file = open_file(path)
    sessions = DiskSessions(file, 10, 60.0, clock)
    for name in ("good", "bad"):
        await sessions.touch(visit(name))
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute(f"UPDATE sessions SET {values} WHERE name = 'bad'")
        other.commit()
    touched = await sessions.touch(visit("bad"))
    assert touched is not None and touched.session == "bad"
    assert len(await sessions.recent(visit("bad").tenant)) in (1, 2)
    sessions.settle(SessionOutcome(session="bad", tenant=visit("bad").tenant, model="m", sketch=b"end"))
    known = [each.id for each in await sessions.sessions(10)]
    assert sorted(known) == (["bad", "good"] if readable else ["good"])
    found = await sessions.session("bad")
    assert (found is not None) is readable
    if found is not None:
        assert list(found.models) == ["m"]
        assert b"end" in [each.sketch for each in await sessions.recent(visit("bad").tenant)]
    await file.close()
