"""The tables of the disk store, and opening the file with them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from llmproxy.stores.sqlite_file import SqliteFile

_VERSION = 5  # of the tables; a file of a version that _UPGRADES does not lead to this one from is set aside
_UPGRADES = {4: ("ALTER TABLE sessions ADD COLUMN cached INTEGER DEFAULT 0",)}  # to the next version
BLOBS, RESPONSES, AFFINITY = "blobs", "responses", "affinity"  # tables of values

# Values stand in a table of their own, so that noting a use does not write them again. Triggers do the counting: no
# process can forget it.
_VALUES = (
    "INSERT INTO totals VALUES ('{table}', 0, 0)",
    """CREATE TABLE {table} (id INTEGER PRIMARY KEY, key TEXT UNIQUE, size INTEGER, check_sum INTEGER, ends REAL,
        used REAL)""",
    "CREATE INDEX {table}_used ON {table} (used)",
    "CREATE INDEX {table}_ends ON {table} (ends)",
    "CREATE TABLE {table}_values (id INTEGER PRIMARY KEY, value BLOB)",
    """CREATE TRIGGER {table}_added AFTER INSERT ON {table} BEGIN
        UPDATE totals SET entries = entries + 1, bytes = bytes + NEW.size WHERE name = '{table}'; END""",
    """CREATE TRIGGER {table}_removed AFTER DELETE ON {table} BEGIN
        DELETE FROM {table}_values WHERE id = OLD.id;
        UPDATE totals SET entries = entries - 1, bytes = bytes - OLD.size WHERE name = '{table}'; END""",
)
_SESSIONS = (
    "INSERT INTO totals VALUES ('sessions', 0, 0)",
    """CREATE TABLE sessions (id INTEGER PRIMARY KEY, name TEXT UNIQUE, tenant TEXT, client TEXT, started REAL,
        seen REAL, requests INTEGER, errors INTEGER, input INTEGER, output INTEGER, models TEXT, sketch BLOB,
        cost REAL DEFAULT 0, unpriced INTEGER DEFAULT 0, cached INTEGER DEFAULT 0)""",
    "CREATE INDEX sessions_seen ON sessions (seen)",
    "CREATE INDEX sessions_tenant ON sessions (tenant, seen)",
    """CREATE TABLE known (tenant TEXT, key TEXT, session INTEGER, turn INTEGER,
        PRIMARY KEY (tenant, key)) WITHOUT ROWID""",
    "CREATE INDEX known_session ON known (session, turn)",
    """CREATE TRIGGER session_added AFTER INSERT ON sessions BEGIN
        UPDATE totals SET entries = entries + 1 WHERE name = 'sessions'; END""",
    """CREATE TRIGGER session_removed AFTER DELETE ON sessions BEGIN
        DELETE FROM known WHERE session = OLD.id;
        UPDATE totals SET entries = entries - 1 WHERE name = 'sessions'; END""",
)
_QUOTAS = (
    "INSERT INTO totals VALUES ('quotas', 0, 0)",  # counts those that clients choose
    """CREATE TABLE quotas (key TEXT PRIMARY KEY, base REAL, slots TEXT, warned INTEGER, chosen INTEGER, used REAL,
        ends REAL) WITHOUT ROWID""",
    "CREATE INDEX quotas_ends ON quotas (ends)",
    "CREATE INDEX quotas_used ON quotas (chosen, used)",
    """CREATE TRIGGER quota_added AFTER INSERT ON quotas WHEN NEW.chosen BEGIN
        UPDATE totals SET entries = entries + 1 WHERE name = 'quotas'; END""",
    """CREATE TRIGGER quota_removed AFTER DELETE ON quotas WHEN OLD.chosen BEGIN
        UPDATE totals SET entries = entries - 1 WHERE name = 'quotas'; END""",
)


_BREAKERS = """CREATE TABLE breakers (target TEXT PRIMARY KEY, retry_at REAL, recovery REAL, probe_until REAL,
    rest_until REAL, used REAL) WITHOUT ROWID"""


def _schema() -> Iterator[str]:
    yield "CREATE TABLE totals (name TEXT PRIMARY KEY, entries INTEGER, bytes INTEGER)"
    for table in (BLOBS, RESPONSES, AFFINITY):
        yield from (statement.replace("{table}", table) for statement in _VALUES)
    yield from _SESSIONS
    yield from _QUOTAS
    yield _BREAKERS


def open_file(path: Path) -> SqliteFile:
    """Return the file at `path` with our tables, not opened yet."""
    return SqliteFile(path, tuple(_schema()), _VERSION, _UPGRADES)


def totals(connection: sqlite3.Connection, name: str) -> tuple[int, int]:
    """Return how many rows there are of `name`, and how many bytes."""
    entries, size = connection.execute("SELECT entries, bytes FROM totals WHERE name = ?", (name,)).fetchone()
    return entries, size
