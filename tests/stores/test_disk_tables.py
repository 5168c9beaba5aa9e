"""The counts that the tables keep by themselves."""

from __future__ import annotations

from pathlib import Path

from llmproxy.stores.disk_tables import BLOBS, RESPONSES, open_file, totals
from llmproxy.stores.disk_values import ROW_BYTES, DiskBlobs


async def test_each_table_of_values_is_counted_alone(tmp_path: Path) -> None:
    file = open_file(tmp_path / "store.sqlite")
    await DiskBlobs(file, 10_000).set("k", b"x" * 10, 60.0)
    assert await file.run(lambda connection: totals(connection, BLOBS)) == (1, ROW_BYTES + 11)
    assert await file.run(lambda connection: totals(connection, RESPONSES)) == (0, 0)
    await file.close()
