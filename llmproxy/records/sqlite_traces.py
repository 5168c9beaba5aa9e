"""Writes trace records into one database, `DIRECTORY/traces.sqlite`, in which turns that repeat are stored once.

A request that goes on from an earlier one costs what is new in it: which pieces hold the rest is known from that one.
Several processes may write to the file. Begin reading at `SqliteTraces.flush`.
"""

from __future__ import annotations

import hashlib
import sqlite3
from array import array
from dataclasses import dataclass
from pathlib import Path

from llmproxy.private_files import make_directory
from llmproxy.records.body_pieces import pieces_after, pieces_before, pieces_of_items
from llmproxy.records.record import WrittenRecord
from llmproxy.records.sqlite_retention import SqliteRetention
from llmproxy.records.sqlite_schema import DATABASE, TRACE_APPLICATION, TRACE_TABLES, VERSION, compress_text, write_runs
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.sqlite_connection import SqliteConnection, UnusableFile, writing
from llmproxy.wire.repeated_json import JsonMemory

_CHECKPOINT_PAGES = 256
_HASH_BYTES = 16
_MEMORY_BYTES = 8 * 1024 * 1024


@dataclass(slots=True, kw_only=True, eq=False)
class _StoredPieces:
    """The numbers of the pieces of a body: `before` of them stand before the list, then one for each item; `after` are
    those after it. They hold as long as the `era` is that of the store."""

    era: object
    numbers: array[int]
    before: int
    after: array[int]


class SqliteTraces:
    """`<directory>/traces.sqlite`. Records are buffered until `flush`, which writes all or, when it raises OSError,
    none. With `dedupe` each message of a conversation is stored once."""

    def __init__(self, directory: str, retention: SqliteRetention, *, dedupe: bool) -> None:
        self._directory = directory
        self._retention = retention
        self._dedupe = dedupe
        self._file = _connection_to(directory)
        self._records: list[WrittenRecord] = []
        self._memory = JsonMemory(_MEMORY_BYTES)  # bodies in which something was masked
        self._seen: tuple[sqlite3.Connection, int] | None = None
        self._era = object()

    def check(self) -> None:
        make_directory(self._directory)
        file = _connection_to(self._directory)
        try:
            file.do(lambda connection: None)
        except UnusableFile as error:
            raise ValueError(f"{DATABASE}: {error}") from error
        except StoreFault:
            pass  # such as a full disk: it may have room later
        finally:
            file.disconnect()

    def write(self, record: WrittenRecord) -> None:
        self._records.append(record)

    def flush(self) -> None:
        records, self._records = self._records, []
        try:
            if records:
                self._file.do(lambda connection: self._add(connection, records))
            if records or self._retention.due:
                self._file.do(self._retention.run)
        except StoreFault as error:
            self._file.disconnect()
            raise OSError(str(error)) from error

    def close(self) -> None:
        self._file.disconnect()

    def _add(self, connection: sqlite3.Connection, records: list[WrittenRecord]) -> None:
        try:
            with writing(connection):
                (count,) = connection.execute("SELECT count FROM removals").fetchone()
                if self._seen != (connection, count):
                    self._seen, self._era = (connection, count), object()
                for record in records:
                    self._add_record(connection, record)
        except BaseException:
            self._seen = None  # pieces that were stored are not
            raise

    def _add_record(self, connection: sqlite3.Connection, record: WrittenRecord) -> None:
        numbers = self._store_body(connection, record)
        runs = None if numbers is None else write_runs(numbers)
        body = record.body if numbers is None else b""
        head = (record.head + b"}").decode()
        text = b"".join((record.before, body, record.after))
        rest = compress_text(text) if self._dedupe else text.decode()  # the latter for those who query it with SQL
        statement = "INSERT INTO records (id, started, head) VALUES (?, ?, ?)"
        number = connection.execute(statement, (record.id, record.started, head)).lastrowid
        connection.execute("INSERT INTO contents VALUES (?, ?, ?, ?)", (number, runs, len(record.before), rest))

    def _store_body(self, connection: sqlite3.Connection, record: WrittenRecord) -> array[int] | None:
        """Store the pieces of a body that are new, and return the numbers of all; None for a body that is to be stored
        whole."""
        read = record.read if self._dedupe else None
        if read is not None and not (len(record.body) == len(read.data) and read.data.startswith(record.body)):
            read = self._memory.read(bytes(record.body), read.name)
        if read is None or not read.located().ends:
            return None
        earlier = read.inherited.get(self)
        known = read.known
        if not known or not isinstance(earlier, _StoredPieces) or earlier.era is not self._era:
            earlier, known = None, 0
        if earlier is None:
            numbers = array("Q", [self._store(connection, piece) for piece in pieces_before(read)])
            before = len(numbers)
        else:
            before = earlier.before
            numbers = earlier.numbers[: before + known]
        numbers.extend([self._store(connection, piece) for piece in pieces_of_items(read, known)])
        if earlier is not None and read.same_tail:
            after = earlier.after
        else:
            after = array("Q", [self._store(connection, piece) for piece in pieces_after(read)])
        read.derived[self] = _StoredPieces(era=self._era, numbers=numbers, before=before, after=after)
        return numbers + after

    def _store(self, connection: sqlite3.Connection, piece: bytes) -> int:
        """Return the number of a piece, which is stored unless it is there."""
        digest = hashlib.sha256(piece).digest()[:_HASH_BYTES]
        found = connection.execute("SELECT number FROM pieces WHERE hash = ?", (digest,)).fetchone()
        if found is not None:
            return int(found[0])
        statement = "INSERT INTO pieces (hash, data) VALUES (?, ?)"
        number = connection.execute(statement, (digest, compress_text(piece))).lastrowid
        assert number is not None
        return number


def _connection_to(directory: str) -> SqliteConnection:
    return SqliteConnection(
        Path(directory, DATABASE),
        TRACE_TABLES,
        VERSION,
        application=TRACE_APPLICATION,
        keeps=True,
        checkpoint_pages=_CHECKPOINT_PAGES,
    )
