"""Removes the oldest records from a database of traces, by age and by total size, and then makes its file smaller.

Pieces of bodies go when no record refers to them. Other processes may write meanwhile: whatever takes long is done
without holding them up, or in steps. Begin reading at `SqliteRetention.run`.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator

from llmproxy.records.retention import AGE_CHECK_S, Retention
from llmproxy.records.sqlite_schema import pairs_of
from llmproxy.stores.sqlite_connection import free_pages, pragma, writing
from llmproxy.wire.timestamp import format_timestamp

# The margin removed beyond the limit, so that not every record causes a search for pieces.
_MARGIN = 0.05
_STEP_S = 0.2
_STEP_PIECES = 1000
_STEP_PAGES = 1024


class SqliteRetention:
    """Keeps a database within `max_age_s` seconds and, together with the `files` of other formats beside it, within
    `max_bytes` bytes; None for no limit. All methods are called by the thread that writes."""

    def __init__(self, files: Retention, max_age_s: float | None, max_bytes: int | None) -> None:
        self._files = files
        self._max_age_s = max_age_s
        self._max_bytes = max_bytes
        self._aged_s = float("-inf")

    @property
    def due(self) -> bool:
        """Return whether `run` has something to do although nothing was written."""
        if self._max_age_s is None:
            return False
        return time.monotonic() - self._aged_s >= min(AGE_CHECK_S, max(self._max_age_s / 10, 1.0))

    def run(self, connection: sqlite3.Connection) -> None:
        """Remove records beyond the limits; cheap when there are none."""
        removed = False
        if self._max_age_s is not None and self.due:
            self._aged_s = time.monotonic()
            removed = _remove(connection, format_timestamp(max(time.time() - self._max_age_s, 0.0)))
        if removed:
            _sweep(connection)
        if self._max_bytes is not None and _used_bytes(connection) > self._max_bytes:
            removed = True
            _remove_down_to(connection, self._max_bytes - int(self._max_bytes * _MARGIN))
        if removed:
            _shrink(connection)
        self._files.run(_used_bytes(connection))


def _used_bytes(connection: sqlite3.Connection) -> int:
    pages = pragma(connection, "page_count") - pragma(connection, "freelist_count")
    return pages * pragma(connection, "page_size")


def _remove_down_to(connection: sqlite3.Connection, target_bytes: int) -> None:
    """Remove the oldest records until the rest needs `target_bytes` at most, or none is left. How much goes with a
    record shows when it is gone: pieces may be shared."""
    while (used := _used_bytes(connection)) > target_bytes:
        (count,) = connection.execute("SELECT count(*) FROM records").fetchone()
        oldest = max(int(count * (1 - target_bytes / used)), 1)
        row = connection.execute("SELECT started FROM records ORDER BY started LIMIT 1 OFFSET ?", (oldest,)).fetchone()
        removed = _remove(connection, "9" if row is None else row[0])
        if not removed and not _remove(connection, f"{row[0]}~" if row else "9"):  # all began at the same time
            return
        _sweep(connection)


def _remove(connection: sqlite3.Connection, before: str) -> bool:
    """Remove the records that began earlier; return whether there were any."""
    with writing(connection):
        chosen = "SELECT number FROM records WHERE started < ?"
        connection.execute(f"DELETE FROM contents WHERE number IN ({chosen})", (before,))
        return connection.execute("DELETE FROM records WHERE started < ?", (before,)).rowcount > 0


def _sweep(connection: sqlite3.Connection) -> None:
    """Remove the pieces to which no record refers. Other processes may add records between the steps."""
    used: set[tuple[int, int]] = set()
    seen = _collect(connection, used, 0)
    done = False
    while not done:
        with writing(connection):
            seen = _collect(connection, used, seen)
            done = _remove_pieces(connection, used, time.monotonic() + _STEP_S)
            connection.execute("UPDATE removals SET count = count + 1")


def _collect(connection: sqlite3.Connection, used: set[tuple[int, int]], after: int) -> int:
    """Add to `used` the runs of pieces of the records with a number above `after`; return the highest number."""
    statement = "SELECT number, pieces FROM contents WHERE number > ? ORDER BY number"
    for number, runs in connection.execute(statement, (after,)):
        after = number
        with contextlib.suppress(ValueError):  # it cannot be read at all
            used.update(pairs_of(runs))
    return after


def _remove_pieces(connection: sqlite3.Connection, used: set[tuple[int, int]], deadline_s: float) -> bool:
    """Remove the pieces outside the runs `used`; return whether all of them went before the deadline."""
    (last,) = connection.execute("SELECT coalesce(max(number), 0) FROM pieces").fetchone()
    for start, end in _gaps(used, last):
        removed = _STEP_PIECES
        while removed == _STEP_PIECES:
            chosen = "SELECT number FROM pieces WHERE number BETWEEN ? AND ? LIMIT ?"
            statement = f"DELETE FROM pieces WHERE number IN ({chosen})"
            removed = connection.execute(statement, (start, end, _STEP_PIECES)).rowcount
            if removed and time.monotonic() > deadline_s:  # each step removes some
                return False
    return True


def _gaps(used: set[tuple[int, int]], last: int) -> Iterator[tuple[int, int]]:
    """Yield the first and the last number of each gap between the runs, up to `last`."""
    at = 1
    for first, count in sorted(used):
        if first > at:
            yield at, first - 1
        at = max(at, first + count)
    if at <= last:
        yield at, last


def _shrink(connection: sqlite3.Connection) -> None:
    """Give the free pages back to the system, in steps."""
    free = pragma(connection, "freelist_count")
    while free:
        free_pages(connection, _STEP_PAGES)
        before, free = free, pragma(connection, "freelist_count")
        if free >= before:
            break
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
