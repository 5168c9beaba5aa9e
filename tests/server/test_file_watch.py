"""Changes of files are noticed, whatever replaces them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from llmproxy.server.file_watch import FileWatch, file_stamp
from tests.support.waiting import PATIENCE_S


async def test_each_change_is_reported_once(tmp_path: Path) -> None:
    file, other = tmp_path / "a", tmp_path / "b"
    file.write_text("1")
    seen: asyncio.Queue[str] = asyncio.Queue()

    async def changed() -> None:
        seen.put_nowait(file.read_text() if file.exists() else "")

    watch = FileWatch([str(file), str(other)], changed, interval_s=0.005)
    await watch.start()
    file.write_text("22")
    assert await seen.get() == "22"
    other.write_text("3")
    os.replace(other, file)
    while await seen.get() != "3":
        pass
    file.unlink()
    while await seen.get() != "":
        pass
    await watch.close()
    file.write_text("4")
    await asyncio.sleep(0.03)
    assert seen.empty()


async def test_what_changed_between_the_reading_and_the_start_is_a_change(tmp_path: Path) -> None:
    file, changes = tmp_path / "a", asyncio.Event()
    file.write_text("1")
    known = [file_stamp(str(file))]
    file.write_text("22")

    async def changed() -> None:
        changes.set()

    watch = FileWatch([str(file)], changed, known, interval_s=0.005)
    await watch.start()
    async with asyncio.timeout(PATIENCE_S):
        await changes.wait()
    await watch.close()


async def test_one_that_did_not_start_can_be_closed() -> None:
    async def changed() -> None:
        raise AssertionError

    await FileWatch([], changed).close()
