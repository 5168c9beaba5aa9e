"""Sessions in the SQLite file: the facet `SessionStore`."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from llmproxy.stores.disk_tables import totals
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
from llmproxy.stores.sqlite_connection import writing
from llmproxy.stores.sqlite_file import SqliteFile
from llmproxy.wire.json import read_as

_FEW = 32  # sessions that are over are removed with each visit, so many at most

_MODELS = msgspec.json.Decoder(list[str])
_COLUMNS = "name, client, started, seen, requests, errors, input, output, cached, cost, unpriced, models"


def _read_sessions(rows: Sequence[Sequence[object]]) -> list[Session]:
    """Return the sessions in `rows` of _COLUMNS, without those that cannot be read: SQLite takes any type anywhere."""
    sessions = []
    for name, client, started_s, seen_s, requests, errors, came_in, went_out, cached, cost, unpriced, models in rows:
        values = {
            "id": name,
            "client": client,
            "started_s": started_s,
            "seen_s": seen_s,
            "requests": requests,
            "errors": errors,
            "input_tokens": came_in,
            "output_tokens": went_out,
            "cached_tokens": cached,
            "cost_usd": cost,
            "cost_unknown": unpriced,
            "models": (),
        }
        with contextlib.suppress(msgspec.ValidationError):
            session = msgspec.convert(values, Session)
            sessions.append(msgspec.structs.replace(session, models=tuple(_read_models(models))))
    return sessions


def _read_models(models: object) -> list[str]:
    return [] if not isinstance(models, str) else read_as(_MODELS, models.encode()) or []


class DiskSessions(SessionStore):
    """Sessions in the file."""

    def __init__(
        self, file: SqliteFile, max_sessions: int, ttl_s: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._file = file
        self._max_sessions = max_sessions
        self._ttl_s = ttl_s
        self._clock = clock
        self._expired = 0
        self._evicted = 0

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
            row = connection.execute(
                "SELECT id, name FROM known JOIN sessions ON id = session"
                " WHERE known.tenant = ? AND key = ? AND seen > ?",
                (visit.tenant, key, visit.now_s - self._ttl_s),
            ).fetchone()
            if row:
                return place, row[0], row[1]
        return None, None, ""

    def _take(self, connection: sqlite3.Connection, visit: Visit, name: str) -> tuple[int, str, bool]:
        """Find or begin the session of that name. Return its row, its name, and whether it was begun."""
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
            "INSERT INTO sessions (name, tenant, client, started, seen, requests, errors, input, output, models,"
            " sketch) VALUES (?, ?, ?, ?, ?, 0, 0, 0, 0, '[]', x'')",
            (name, visit.tenant, visit.client, visit.now_s, visit.now_s),
        ).lastrowid
        over = min(totals(connection, "sessions")[0] - self._max_sessions, _FEW)
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
        return [RecentSession(session=name, sketch=sketch) for name, sketch in rows if isinstance(sketch, bytes)]

    def settle(self, outcome: SessionOutcome) -> None:
        self._file.later(partial(self._settle, outcome))

    def _settle(self, outcome: SessionOutcome, connection: sqlite3.Connection) -> None:
        with writing(connection):
            session = connection.execute(
                "SELECT id, models, sketch FROM sessions WHERE name = ? AND tenant = ? AND seen > ?",
                (outcome.session, outcome.tenant, self._clock() - self._ttl_s),
            ).fetchone()
            if session is None:
                return
            row, models, sketch = session
            earlier = sketch if isinstance(sketch, bytes) else b""
            connection.execute(
                "UPDATE sessions SET requests = requests + 1, errors = errors + ?, input = input + ?,"
                " output = output + ?, cached = cached + ?, cost = cost + ?, unpriced = unpriced + ?, models = ?,"
                " sketch = ? WHERE id = ?",
                (
                    outcome.error,
                    outcome.input_tokens,
                    outcome.output_tokens,
                    outcome.cached_tokens,
                    outcome.cost_usd,
                    outcome.cost_unknown,
                    _with_model(models, outcome.model),
                    (earlier + outcome.sketch)[-SKETCH_BYTES:],
                    row,
                ),
            )
            _learn(connection, row, outcome.tenant, outcome.learn)
        self._file.tidy_soon(0)

    async def session(self, name: str) -> Session | None:
        row = await self._file.run(
            lambda connection: connection.execute(
                f"SELECT {_COLUMNS} FROM sessions WHERE name = ? AND seen > ?", (name, self._clock() - self._ttl_s)
            ).fetchone()
        )
        return next(iter(_read_sessions([row] if row else [])), None)

    async def sessions(self, limit: int) -> Sequence[Session]:
        rows = await self._file.run(
            lambda connection: connection.execute(
                f"SELECT {_COLUMNS} FROM sessions WHERE seen > ? ORDER BY seen DESC, id DESC LIMIT ?",
                (self._clock() - self._ttl_s, limit),
            ).fetchall()
        )
        return _read_sessions(rows)

    async def counts(self) -> SessionCounts:
        active = await self._file.run(self._active)
        return SessionCounts(active=active, expired=self._expired, evicted=self._evicted)

    def _active(self, connection: sqlite3.Connection) -> int:
        with writing(connection):
            self._expire(connection, self._clock())
        over_s = self._clock() - self._ttl_s
        over = connection.execute("SELECT count(*) FROM sessions WHERE seen <= ?", (over_s,)).fetchone()[0]
        return totals(connection, "sessions")[0] - int(over)


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


def _with_model(models: object, model: str | None) -> str:
    """Return the JSON list `models` with `model` at its end, if that is new and there is room."""
    known = _read_models(models)
    if model and model not in known and len(known) < MAX_MODELS:
        known = [*known, model]
    return json.dumps(known)
