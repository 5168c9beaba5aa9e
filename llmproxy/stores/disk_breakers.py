"""Targets that are out, in the SQLite file: the facet `BreakerStore`, by the wall clock."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from llmproxy.stores.breakers import KEEP_S, BreakerStore, Outage, OutageRow
from llmproxy.stores.sqlite_connection import writing
from llmproxy.stores.sqlite_file import SqliteFile

T = TypeVar("T")
_FIELDS = "retry_at, recovery, probe_until, rest_until"


class DiskBreakers(BreakerStore):
    """Targets in the file."""

    def __init__(self, file: SqliteFile, clock: Callable[[], float] = time.time) -> None:
        self._file = file
        self._clock = clock

    async def trip(self, target: str, recovery_s: float) -> None:
        await self._change(target, lambda row, now_s: row.trip(now_s, recovery_s))

    async def probe(self, target: str, lease_s: float) -> bool:
        return await self._change(target, lambda row, now_s: row.probe(now_s, lease_s))

    async def reset(self, target: str) -> None:
        await self._change(target, lambda row, now_s: row.reset())

    async def rest(self, target: str, seconds: float) -> None:
        await self._change(target, partial(_rest, seconds))

    async def outages(self) -> Mapping[str, Outage]:
        return await self._file.run(self._read_all)

    def _read_all(self, connection: sqlite3.Connection) -> Mapping[str, Outage]:
        now_s = self._clock()
        rows = connection.execute(
            f"SELECT target, {_FIELDS} FROM breakers WHERE recovery > 0 OR rest_until > ?", (now_s,)
        ).fetchall()
        return {target: OutageRow(*fields).outage(now_s) for target, *fields in rows}

    async def _change(self, target: str, change: Callable[[OutageRow, float], T]) -> T:
        return await self._file.run(partial(self._change_row, target, change))

    def _change_row(self, target: str, change: Callable[[OutageRow, float], T], connection: sqlite3.Connection) -> T:
        now_s = self._clock()
        with writing(connection):
            found = connection.execute(f"SELECT {_FIELDS} FROM breakers WHERE target = ?", (target,)).fetchone()
            row = OutageRow() if found is None else OutageRow(*found)
            result = change(row, now_s)
            connection.execute("DELETE FROM breakers WHERE target = ? OR used < ?", (target, now_s - KEEP_S))
            fields = target, row.retry_at_s, row.recovery_s, row.probe_until_s, row.rest_until_s, now_s
            connection.execute("INSERT INTO breakers VALUES (?, ?, ?, ?, ?, ?)", fields)
        self._file.tidy_soon(0)
        return result


def _rest(seconds: float, row: OutageRow, now_s: float) -> None:
    row.rest_until_s = now_s + seconds
