from __future__ import annotations

from pathlib import Path

from llmproxy.stores.breakers import KEEP_S
from llmproxy.stores.disk_breakers import DiskBreakers
from llmproxy.stores.disk_tables import open_file


async def test_targets_outlive_the_process_and_those_that_nobody_names_any_more_are_forgotten(tmp_path: Path) -> None:
    now_s = 1_800_000_000.0
    file = open_file(tmp_path / "store.sqlite")
    await DiskBreakers(file, lambda: now_s).trip("old", 30.0)
    await file.close()
    file = open_file(tmp_path / "store.sqlite")
    breakers = DiskBreakers(file, lambda: now_s)
    assert list(await breakers.outages()) == ["old"]
    now_s += KEEP_S + 1
    await breakers.trip("new", 30.0)
    assert list(await breakers.outages()) == ["new"]
    await file.close()
