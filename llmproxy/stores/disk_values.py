"""Values in the SQLite file: the facets `BlobStore` and `ResponseStore`."""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Callable, Sequence
from functools import partial

from llmproxy.stores.blobs import BlobStore, StoreSize
from llmproxy.stores.disk_tables import BLOBS, RESPONSES, totals
from llmproxy.stores.responses import ResponseStore
from llmproxy.stores.sqlite_connection import writing
from llmproxy.stores.sqlite_file import SqliteFile

ROW_BYTES = 200  # the rows and index entries of a value, about
_FEW = 32  # values that are over are removed with each write, so many at most
_BATCH = 256
_MOST_NOTES = 512
_NOTE_S = 5.0  # uses are written down after so long, unless a write came before


class DiskBlobs(BlobStore):
    """Values in `table` of the file. `max_bytes` bounds keys, values and their rows; the file is somewhat larger."""

    def __init__(
        self, file: SqliteFile, max_bytes: int, clock: Callable[[], float] = time.time, table: str = BLOBS
    ) -> None:
        self._file = file
        self._max_bytes = max_bytes
        self._clock = clock
        self._table = table
        self._uses: dict[str, float] = {}  # of the file's thread alone: uses that are not written down yet
        self._noted_s = clock()

    async def close(self) -> None:
        self._file.later(self._note)

    async def get(self, key: str) -> bytes | None:
        return await self._file.run(partial(self._get, key))

    def _get(self, key: str, connection: sqlite3.Connection) -> bytes | None:
        now_s = self._clock()
        row = connection.execute(
            f"SELECT value, check_sum FROM {self._table} JOIN {self._table}_values USING (id)"
            " WHERE key = ? AND ends > ?",
            (key, now_s),
        ).fetchone()
        if row is None or not isinstance(row[0], bytes) or zlib.crc32(row[0]) != row[1]:
            return None
        self._uses[key] = now_s
        if len(self._uses) >= _MOST_NOTES or now_s - self._noted_s > _NOTE_S:
            self._file.later(self._note)
        return row[0]

    def _note(self, connection: sqlite3.Connection) -> None:
        if self._uses:
            with writing(connection):
                self._write_uses(connection)

    def _write_uses(self, connection: sqlite3.Connection) -> None:
        uses, self._uses, self._noted_s = self._uses, {}, self._clock()
        connection.executemany(
            f"UPDATE {self._table} SET used = ? WHERE key = ?", [(at, key) for key, at in uses.items()]
        )

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        await self._file.run(partial(self._set, key, value, ttl_s))

    def _set(self, key: str, value: bytes, ttl_s: float, connection: sqlite3.Connection) -> None:
        with writing(connection):
            self._write(key, value, ttl_s, connection)
        self._file.tidy_soon(len(value))

    def _write(self, key: str, value: bytes, ttl_s: float, connection: sqlite3.Connection) -> None:
        now_s, table = self._clock(), self._table
        size = len(key) + len(value) + ROW_BYTES
        self._write_uses(connection)
        connection.execute(f"DELETE FROM {table} WHERE key = ?", (key,))
        if size <= self._max_bytes:
            row = connection.execute(
                f"INSERT INTO {table} (key, size, check_sum, ends, used) VALUES (?, ?, ?, ?, ?)",
                (key, size, zlib.crc32(value), now_s + ttl_s, now_s),
            ).lastrowid
            connection.execute(f"INSERT INTO {table}_values VALUES (?, ?)", (row, value))
        connection.execute(
            f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE ends <= ? ORDER BY ends LIMIT ?)",
            (now_s, _FEW),
        )
        self._evict(connection)

    def _evict(self, connection: sqlite3.Connection) -> None:
        while (over := totals(connection, self._table)[1] - self._max_bytes) > 0:
            leaving: list[tuple[int]] = []
            for row, size in connection.execute(
                f"SELECT id, size FROM {self._table} ORDER BY used, id LIMIT ?", (_BATCH,)
            ):
                leaving.append((row,))
                over -= size
                if over <= 0:
                    break
            connection.executemany(f"DELETE FROM {self._table} WHERE id = ?", leaving)

    async def delete(self, key: str) -> bool:
        return await self._file.run(partial(self._delete, key))

    def _delete(self, key: str, connection: sqlite3.Connection) -> bool:
        with writing(connection):
            row = connection.execute(
                f"SELECT 1 FROM {self._table} WHERE key = ? AND ends > ?", (key, self._clock())
            ).fetchone()
            connection.execute(f"DELETE FROM {self._table} WHERE key = ?", (key,))
        return row is not None

    async def clear(self, prefix: str = "") -> int:
        last = await self._file.run(
            lambda connection: connection.execute(f"SELECT max(id) FROM {self._table}").fetchone()[0]
        )
        count = 0
        while rows := await self._file.run(partial(self._clear, prefix, last or 0)):
            count += sum(rows)
        self._file.tidy()
        return count

    def _clear(self, prefix: str, last: int, connection: sqlite3.Connection) -> list[bool]:
        """Remove some values whose keys begin with `prefix`, up to the row `last`. Return which were not over yet."""
        now_s = self._clock()
        with writing(connection):
            rows = connection.execute(
                f"SELECT id, ends FROM {self._table} WHERE key >= ? AND key < ? AND id <= ? LIMIT ?",
                (prefix, prefix + "\x7f", last, _BATCH),
            ).fetchall()
            connection.executemany(f"DELETE FROM {self._table} WHERE id = ?", [(row,) for row, _ in rows])
        return [ends_s > now_s for _, ends_s in rows]

    async def size(self) -> StoreSize:
        entries, size = await self._file.run(lambda connection: totals(connection, self._table))
        return StoreSize(entries=entries, bytes=size)


class DiskResponses(DiskBlobs, ResponseStore):
    """The same for what the Responses API stores."""

    def __init__(self, file: SqliteFile, max_bytes: int, clock: Callable[[], float] = time.time) -> None:
        super().__init__(file, max_bytes, clock, RESPONSES)

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return await self._file.run(lambda connection: [self._get(key, connection) for key in keys])

    async def replace(self, key: str, before: bytes, value: bytes, ttl_s: float) -> bool:
        return await self._file.run(partial(self._replace, key, before, value, ttl_s))

    def _replace(self, key: str, before: bytes, value: bytes, ttl_s: float, connection: sqlite3.Connection) -> bool:
        with writing(connection):
            same = self._get(key, connection) == before
            if same:
                self._write(key, value, ttl_s, connection)
        self._file.tidy_soon(len(value))
        return same
