"""Counters in the SQLite file: the facet `QuotaStore`.

What waits is counted in one transaction. Times are the wall clock's, which all processes and restarts share; when it
is set back, what counts counts as of then (`quota_counter.py`).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import msgspec

from llmproxy.stores.quota_counter import QuotaCounter, take_from
from llmproxy.stores.quota_queue import Batch, Group, QueuedQuotas
from llmproxy.stores.quotas import Quota, Taken
from llmproxy.stores.sqlite_connection import writing
from llmproxy.stores.sqlite_file import SqliteFile

_FEW = 32  # counters that are over are removed with each call, so many at most
_NEVER = 1e18
_SLOTS_JSON = msgspec.json.Decoder(dict[int, float])

_Counters = dict[str, QuotaCounter]


class DiskQuotas(QueuedQuotas):
    """Counters in the file, at most `max_counters` of those that clients choose."""

    def __init__(self, file: SqliteFile, max_counters: int, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._file = file
        self._max_counters = max_counters
        self._clock = clock

    async def _send(self, batch: Batch | None, groups: Sequence[Group]) -> list[Taken]:
        return await self._file.run(partial(self._count, batch, groups))

    def _count(self, batch: Batch | None, groups: Sequence[Group], connection: sqlite3.Connection) -> list[Taken]:
        now_s = self._clock()
        settlements = batch.settlements if batch is not None and not batch.applied else ()
        quotas = {each.quota.key: each.quota for each in settlements}
        quotas |= {quota.key: quota for group in groups for quota in group.quotas}
        with writing(connection):
            counters = {key: _read(connection, key) for key in quotas}
            for each in settlements:
                counters[each.quota.key].settle(each, int(now_s * each.quota.slots_per_s))
            taken = [
                take_from([counters[quota.key] for quota in group.quotas], group.quotas, group.amounts, now_s)
                for group in groups
            ]
            _write(connection, quotas.values(), counters, now_s)
            self._remove(connection, now_s)
        if batch is not None:
            batch.applied = True
        self._file.tidy_soon(0)
        return taken

    def _remove(self, connection: sqlite3.Connection, now_s: float) -> None:
        """Remove counters that are over, and the longest unused of those that clients choose."""
        connection.execute(
            "DELETE FROM quotas WHERE key IN (SELECT key FROM quotas WHERE ends <= ? ORDER BY ends LIMIT ?)",
            (now_s, _FEW),
        )
        chosen = connection.execute("SELECT entries FROM totals WHERE name = 'quotas'").fetchone()[0]
        if chosen > self._max_counters:
            connection.execute(
                "DELETE FROM quotas WHERE key IN (SELECT key FROM quotas WHERE chosen = 1 ORDER BY used LIMIT ?)",
                (min(chosen - self._max_counters, 8 * _FEW),),
            )


def _read(connection: sqlite3.Connection, key: str) -> QuotaCounter:
    counter = QuotaCounter()
    row = connection.execute("SELECT base, slots, warned FROM quotas WHERE key = ?", (key,)).fetchone()
    if row is not None:
        base, slots, warned = row
        counter.base = base if isinstance(base, float) else 0.0
        counter.warned = bool(warned)
        counter.slots = _slots(slots)
        counter.sum = sum(counter.slots.values())
        counter.newest = max(counter.slots, default=0)
    return counter


def _slots(value: object) -> dict[int, float]:
    try:
        return _SLOTS_JSON.decode(value) if isinstance(value, (str, bytes)) else {}
    except msgspec.DecodeError:  # SQLite takes any type anywhere
        return {}


def _write(connection: sqlite3.Connection, quotas: Iterable[Quota], counters: _Counters, now_s: float) -> None:
    """Write the counters of which something counts."""
    rows = [
        (
            quota.key,
            counter.base,
            msgspec.json.encode(counter.slots),
            counter.warned,
            quota.chosen,
            now_s,
            min(now_s + quota.keep_s(now_s), _NEVER),
        )
        for quota in quotas
        if not (counter := counters[quota.key]).idle
    ]
    connection.executemany(
        "INSERT INTO quotas VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET base = excluded.base,"
        " slots = excluded.slots, warned = excluded.warned, used = excluded.used, ends = excluded.ends",
        rows,
    )
