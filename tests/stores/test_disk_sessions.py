"""What only sessions on disk do. What all sessions do is in `test_sessions`."""

from __future__ import annotations

import asyncio
from pathlib import Path

from llmproxy.stores.disk_sessions import DiskSessions
from llmproxy.stores.disk_tables import open_file
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
