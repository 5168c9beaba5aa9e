"""Stores in one SQLite file: they outlive the process, and the processes of one machine share them.

`SqliteFile` opens it and has the thread; here are the tables and what is done with them. A kill loses at most what was
not yet committed. Begin reading at `_SCHEMA`.
"""

from __future__ import annotations

import json
import sqlite3
import time
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from llmproxy.stores.blobs import BlobStore, StoreSize
from llmproxy.stores.guard import GuardedBlobs, GuardedSessions
from llmproxy.stores.sessions import (
    MAX_KEYS,
    MAX_MODELS,
    RECENT,
    SKETCH_BYTES,
    RecentSession,
    Session,
    SessionCounts,
    SessionOutcome,
    SessionStore,
    Visit,
    VisitResult,
)
from llmproxy.stores.sqlite_file import SqliteFile, writing

if TYPE_CHECKING:
    from llmproxy.stores.settings import StoreSettings

VERSION = 1  # of the tables; a file of another one is set aside

# Values stand apart, so that noting a use does not write them again. Counting is the triggers' work: no process can
# forget it.
_SCHEMA = (
    "CREATE TABLE totals (name TEXT PRIMARY KEY, entries INTEGER, bytes INTEGER)",
    "INSERT INTO totals VALUES ('blobs', 0, 0), ('sessions', 0, 0)",
    """CREATE TABLE blobs (id INTEGER PRIMARY KEY, key TEXT UNIQUE, size INTEGER, check_sum INTEGER, ends REAL,
        used REAL)""",
    "CREATE INDEX blobs_used ON blobs (used)",
    "CREATE INDEX blobs_ends ON blobs (ends)",
    "CREATE TABLE contents (id INTEGER PRIMARY KEY, value BLOB)",
    """CREATE TRIGGER blob_comes AFTER INSERT ON blobs BEGIN
        UPDATE totals SET entries = entries + 1, bytes = bytes + NEW.size WHERE name = 'blobs'; END""",
    """CREATE TRIGGER blob_goes AFTER DELETE ON blobs BEGIN
        DELETE FROM contents WHERE id = OLD.id;
        UPDATE totals SET entries = entries - 1, bytes = bytes - OLD.size WHERE name = 'blobs'; END""",
    """CREATE TABLE sessions (id INTEGER PRIMARY KEY, name TEXT UNIQUE, tenant TEXT, client TEXT, started REAL,
        seen REAL, requests INTEGER, errors INTEGER, input INTEGER, output INTEGER, models TEXT, sketch BLOB)""",
    "CREATE INDEX sessions_seen ON sessions (seen)",
    "CREATE INDEX sessions_tenant ON sessions (tenant, seen)",
    """CREATE TABLE known (tenant TEXT, key TEXT, session INTEGER, turn INTEGER,
        PRIMARY KEY (tenant, key)) WITHOUT ROWID""",
    "CREATE INDEX known_session ON known (session, turn)",
    """CREATE TRIGGER session_comes AFTER INSERT ON sessions BEGIN
        UPDATE totals SET entries = entries + 1 WHERE name = 'sessions'; END""",
    """CREATE TRIGGER session_goes AFTER DELETE ON sessions BEGIN
        DELETE FROM known WHERE session = OLD.id;
        UPDATE totals SET entries = entries - 1 WHERE name = 'sessions'; END""",
)

ENTRY_BYTES = 200  # the rows and index entries of a value, about
_FEW = 32  # of what is over, so many rows go with each write
_BATCH = 256
_MOST_NOTES = 512
_NOTE_S = 5.0  # reads that nobody's write follows are noted after so long
_MOST = 1 << 53  # beyond what is counted


class DiskBlobs(BlobStore):
    """Values in the file at `path`. `max_bytes` bounds keys, values and their rows; the file is somewhat larger."""

    def __init__(self, path: Path, max_bytes: int, clock: Callable[[], float] = time.time) -> None:
        self._file = SqliteFile(path, _SCHEMA, VERSION)
        self._max_bytes = max_bytes
        self._clock = clock
        self._uses: dict[str, float] = {}  # of the file's thread alone: reads not yet written down
        self._noted_s = clock()

    async def close(self) -> None:
        self._file.later(self._note)
        await self._file.close()

    async def get(self, key: str) -> bytes | None:
        return await self._file.run(partial(self._get, key))

    def _get(self, key: str, connection: sqlite3.Connection) -> bytes | None:
        now_s = self._clock()
        found = connection.execute(
            "SELECT value, check_sum FROM blobs JOIN contents USING (id) WHERE key = ? AND ends > ?", (key, now_s)
        ).fetchone()
        if found is None or not isinstance(found[0], bytes) or zlib.crc32(found[0]) != found[1]:
            return None
        self._uses[key] = now_s
        if len(self._uses) >= _MOST_NOTES or now_s - self._noted_s > _NOTE_S:
            self._file.later(self._note)
        return found[0]

    def _note(self, connection: sqlite3.Connection) -> None:
        if self._uses:
            with writing(connection):
                self._write_uses(connection)

    def _write_uses(self, connection: sqlite3.Connection) -> None:
        uses, self._uses, self._noted_s = self._uses, {}, self._clock()
        connection.executemany("UPDATE blobs SET used = ? WHERE key = ?", [(at, key) for key, at in uses.items()])

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        await self._file.run(partial(self._set, key, value, ttl_s))

    def _set(self, key: str, value: bytes, ttl_s: float, connection: sqlite3.Connection) -> None:
        now_s = self._clock()
        size = len(key) + len(value) + ENTRY_BYTES
        with writing(connection):
            self._write_uses(connection)
            connection.execute("DELETE FROM blobs WHERE key = ?", (key,))
            if size <= self._max_bytes:
                row = connection.execute(
                    "INSERT INTO blobs (key, size, check_sum, ends, used) VALUES (?, ?, ?, ?, ?)",
                    (key, size, zlib.crc32(value), now_s + ttl_s, now_s),
                ).lastrowid
                connection.execute("INSERT INTO contents VALUES (?, ?)", (row, value))
            connection.execute(
                "DELETE FROM blobs WHERE id IN (SELECT id FROM blobs WHERE ends <= ? ORDER BY ends LIMIT ?)",
                (now_s, _FEW),
            )
            self._evict(connection)
        self._file.tidy_soon(size)

    def _evict(self, connection: sqlite3.Connection) -> None:
        while (over := _totals(connection, "blobs")[1] - self._max_bytes) > 0:
            leaving: list[tuple[int]] = []
            for row, size in connection.execute("SELECT id, size FROM blobs ORDER BY used, id LIMIT ?", (_BATCH,)):
                leaving.append((row,))
                over -= size
                if over <= 0:
                    break
            connection.executemany("DELETE FROM blobs WHERE id = ?", leaving)

    async def delete(self, key: str) -> bool:
        return await self._file.run(partial(self._delete, key))

    def _delete(self, key: str, connection: sqlite3.Connection) -> bool:
        with writing(connection):
            found = connection.execute(
                "SELECT 1 FROM blobs WHERE key = ? AND ends > ?", (key, self._clock())
            ).fetchone()
            connection.execute("DELETE FROM blobs WHERE key = ?", (key,))
        return found is not None

    async def clear(self, prefix: str = "") -> int:
        last = await self._file.run(lambda connection: connection.execute("SELECT max(id) FROM blobs").fetchone()[0])
        count = 0
        while rows := await self._file.run(partial(self._clear, prefix, last or 0)):
            count += sum(rows)
        self._file.tidy()
        return count

    def _clear(self, prefix: str, last: int, connection: sqlite3.Connection) -> list[bool]:
        """Forget some of what begins with `prefix` and is not newer than the row `last`; which were not over yet."""
        now_s = self._clock()
        with writing(connection):
            rows = connection.execute(
                "SELECT id, ends FROM blobs WHERE key >= ? AND key < ? AND id <= ? LIMIT ?",
                (prefix, prefix + "\x7f", last, _BATCH),
            ).fetchall()
            connection.executemany("DELETE FROM blobs WHERE id = ?", [(row,) for row, _ in rows])
        return [ends_s > now_s for _, ends_s in rows]

    async def size(self) -> StoreSize:
        entries, size = await self._file.run(lambda connection: _totals(connection, "blobs"))
        return StoreSize(entries=entries, bytes=size)


def _totals(connection: sqlite3.Connection, name: str) -> tuple[int, int]:
    entries, size = connection.execute("SELECT entries, bytes FROM totals WHERE name = ?", (name,)).fetchone()
    return entries, size


_SHOWN = "name, client, started, seen, requests, errors, input, output, models"


def _shown(row: tuple[str, str, float, float, int, int, int, int, str]) -> Session:
    name, client, started_s, seen_s, requests, errors, came_in, went_out, models = row
    return Session(
        id=name,
        client=client,
        started_s=started_s,
        seen_s=seen_s,
        requests=requests,
        errors=errors,
        input_tokens=came_in,
        output_tokens=went_out,
        models=tuple(json.loads(models)),
    )


class DiskSessions(SessionStore):
    """Sessions in the file at `path`."""

    def __init__(self, path: Path, max_sessions: int, ttl_s: float, clock: Callable[[], float] = time.time) -> None:
        self._file = SqliteFile(path, _SCHEMA, VERSION)
        self._max_sessions = max_sessions
        self._ttl_s = ttl_s
        self._clock = clock
        self._expired = 0
        self._evicted = 0

    async def close(self) -> None:
        await self._file.close()

    async def touch(self, visit: Visit) -> VisitResult | None:
        return await self._file.run(partial(self._touch, visit))

    def _touch(self, visit: Visit, connection: sqlite3.Connection) -> VisitResult | None:
        with writing(connection):
            self._expire(connection, visit.now_s)
            place, row, name = self._find(connection, visit)
            created = False
            if row is None:
                if visit.session is None:
                    return None
                row, name, created = self._take(connection, visit, visit.session)
            connection.execute("UPDATE sessions SET seen = max(seen, ?) WHERE id = ?", (visit.now_s, row))
            _learn(connection, row, visit.tenant, visit.learn)
        self._file.tidy_soon(0)
        return VisitResult(session=name, place=place, created=created)

    def _expire(self, connection: sqlite3.Connection, now_s: float) -> None:
        self._expired += connection.execute(
            "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE seen <= ? ORDER BY seen LIMIT ?)",
            (now_s - self._ttl_s, _FEW),
        ).rowcount

    def _find(self, connection: sqlite3.Connection, visit: Visit) -> tuple[int | None, int | None, str]:
        for place, key in enumerate(visit.keys):
            found = connection.execute(
                "SELECT id, name FROM known JOIN sessions ON id = session"
                " WHERE known.tenant = ? AND key = ? AND seen > ?",
                (visit.tenant, key, visit.now_s - self._ttl_s),
            ).fetchone()
            if found:
                return place, found[0], found[1]
        return None, None, ""

    def _take(self, connection: sqlite3.Connection, visit: Visit, name: str) -> tuple[int, str, bool]:
        """The session of that name, begun when there is none; its row and name, and whether it was begun."""
        over_s = visit.now_s - self._ttl_s
        while found := connection.execute("SELECT id, tenant, seen FROM sessions WHERE name = ?", (name,)).fetchone():
            row, tenant, seen_s = found
            if seen_s <= over_s:
                connection.execute("DELETE FROM sessions WHERE id = ?", (row,))
                self._expired += 1
            elif tenant == visit.tenant:
                return row, name, False
            else:
                name = f"{name}~{visit.tenant[:8]}"
        row = connection.execute(
            "INSERT INTO sessions VALUES (NULL, ?, ?, ?, ?, ?, 0, 0, 0, 0, '[]', x'')",
            (name, visit.tenant, visit.client, visit.now_s, visit.now_s),
        ).lastrowid
        over = min(_totals(connection, "sessions")[0] - self._max_sessions, _FEW)
        if over > 0:
            self._evicted += connection.execute(
                "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE id != ? ORDER BY seen, id LIMIT ?)",
                (row, over),
            ).rowcount
        return row or 0, name, True

    async def recent(self, tenant: str) -> Sequence[RecentSession]:
        rows = await self._file.run(
            lambda connection: connection.execute(
                "SELECT name, sketch FROM sessions WHERE tenant = ? AND seen > ? ORDER BY seen DESC, id DESC LIMIT ?",
                (tenant, self._clock() - self._ttl_s, RECENT),
            ).fetchall()
        )
        return [RecentSession(session=name, sketch=sketch) for name, sketch in rows]

    def settle(self, outcome: SessionOutcome) -> None:
        self._file.later(partial(self._settle, outcome))

    def _settle(self, outcome: SessionOutcome, connection: sqlite3.Connection) -> None:
        with writing(connection):
            found = connection.execute(
                "SELECT id, models, sketch FROM sessions WHERE name = ? AND tenant = ? AND seen > ?",
                (outcome.session, outcome.tenant, self._clock() - self._ttl_s),
            ).fetchone()
            if found is None:
                return
            row, models, sketch = found
            connection.execute(
                "UPDATE sessions SET requests = requests + 1, errors = errors + ?, input = input + ?,"
                " output = output + ?, models = ?, sketch = ? WHERE id = ?",
                (
                    outcome.error,
                    min(outcome.input_tokens, _MOST),
                    min(outcome.output_tokens, _MOST),
                    _with_model(models, outcome.model),
                    (sketch + outcome.sketch)[-SKETCH_BYTES:],
                    row,
                ),
            )
            _learn(connection, row, outcome.tenant, outcome.learn)
        self._file.tidy_soon(0)

    async def session(self, name: str) -> Session | None:
        row = await self._file.run(
            lambda connection: connection.execute(
                f"SELECT {_SHOWN} FROM sessions WHERE name = ? AND seen > ?", (name, self._clock() - self._ttl_s)
            ).fetchone()
        )
        return _shown(row) if row else None

    async def sessions(self, limit: int) -> Sequence[Session]:
        rows = await self._file.run(
            lambda connection: connection.execute(
                f"SELECT {_SHOWN} FROM sessions WHERE seen > ? ORDER BY seen DESC, id DESC LIMIT ?",
                (self._clock() - self._ttl_s, limit),
            ).fetchall()
        )
        return [_shown(row) for row in rows]

    async def counts(self) -> SessionCounts:
        active = await self._file.run(self._active)
        return SessionCounts(active=active, expired=self._expired, evicted=self._evicted)

    def _active(self, connection: sqlite3.Connection) -> int:
        with writing(connection):
            self._expire(connection, self._clock())
        over_s = self._clock() - self._ttl_s
        over = connection.execute("SELECT count(*) FROM sessions WHERE seen <= ?", (over_s,)).fetchone()[0]
        return _totals(connection, "sessions")[0] - int(over)


def _learn(connection: sqlite3.Connection, row: int, tenant: str, keys: Sequence[str]) -> None:
    if not keys:
        return
    turn = connection.execute("SELECT coalesce(max(turn), 0) FROM known WHERE session = ?", (row,)).fetchone()[0]
    connection.executemany(
        "INSERT INTO known VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE"
        " SET session = excluded.session, turn = excluded.turn WHERE session != excluded.session",
        [(tenant, key, row, turn + number) for number, key in enumerate(keys, 1)],
    )
    connection.execute(
        "DELETE FROM known WHERE (tenant, key) IN"
        " (SELECT tenant, key FROM known WHERE session = ? ORDER BY turn DESC LIMIT -1 OFFSET ?)",
        (row, MAX_KEYS),
    )


def _with_model(models: str, model: str | None) -> str:
    """The JSON list `models` with `model` behind it, if that is new and there is room."""
    known: list[str] = json.loads(models)
    if not model or model in known or len(known) >= MAX_MODELS:
        return models
    return json.dumps([*known, model])


def open_blobs(settings: StoreSettings, max_bytes: int) -> BlobStore:
    """The values in the file that `settings` name."""
    return GuardedBlobs(DiskBlobs(settings.file, max_bytes), f"the disk store {str(settings.file)!r}")


def open_sessions(settings: StoreSettings, max_sessions: int, ttl_s: float) -> SessionStore:
    """The sessions in the file that `settings` name."""
    return GuardedSessions(DiskSessions(settings.file, max_sessions, ttl_s), f"the disk store {str(settings.file)!r}")
