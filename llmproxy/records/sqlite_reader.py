"""Reads trace records from the database `<directory>/traces.sqlite`. Begin reading at `SqliteReader`.

Only the rows with entries are read where these are enough. A database that is broken, foreign, locked or of a newer
version is a fault; one on a disk that cannot be written is read.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.parse import quote

from llmproxy.private_files import require_regular
from llmproxy.records.found_records import FoundEntry, UnreadableRecord, newer_version
from llmproxy.records.sqlite_schema import DATABASE, TRACE_APPLICATION, VERSION, read_record_text
from llmproxy.records.trace_files import found_in
from llmproxy.stores.sqlite_connection import pragma
from llmproxy.system_errors import explain_fault

_BUSY_S = 2.0
_CANNOT_WRITE = frozenset((sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY))
_ENTRIES = "SELECT number, head FROM records"
_LAST_CHARACTER = "\U0010ffff"


class RecordRow(NamedTuple):
    """Place of a record: a database, and the number of its row."""

    path: str
    number: int

    def read(self) -> bytes:
        """Return the text of the record. Raises OSError, or ValueError with a message for the user."""
        try:
            with _opened(self.path) as connection:
                return read_record_text(connection, self.number)
        except sqlite3.Error as error:
            raise ValueError(str(error)) from error


class SqliteReader:
    """The database in `directory`."""

    def __init__(self, directory: str, faults: list[UnreadableRecord]) -> None:
        self._path = os.path.join(directory, DATABASE)
        self._faults = faults
        self._inode = 0
        self._number = 0

    def entries(self) -> Iterator[FoundEntry]:
        return self._query(f"{_ENTRIES} ORDER BY started, number")

    def last(self, count: int) -> list[FoundEntry]:
        return [*self._query(f"{_ENTRIES} ORDER BY started DESC, number DESC LIMIT ?", count)][::-1]

    def follow(self) -> list[FoundEntry]:
        inode = self._current()
        if inode != self._inode:  # another file
            self._inode, self._number = inode, 0
        return [*self._query(f"{_ENTRIES} WHERE number > ? ORDER BY number", self._number)]

    def skip(self) -> None:
        self._inode = self._current()
        for _ in self._query(f"{_ENTRIES} ORDER BY number DESC LIMIT 1"):
            pass

    def find(self, prefix: str) -> list[FoundEntry]:
        matches = f"{_ENTRIES} WHERE id BETWEEN ? AND ? ORDER BY started, number"
        return [*self._query(matches, prefix, prefix + _LAST_CHARACTER)]

    def _current(self) -> int:
        try:
            return os.stat(self._path).st_ino
        except OSError:
            return 0

    def _query(self, statement: str, *values: object) -> Iterator[FoundEntry]:
        """Yield the entries of rows; what cannot be read is a fault."""
        try:
            with _opened(self._path) as connection:
                for number, head in connection.execute(statement, values):
                    self._number = max(self._number, number)
                    yield from self._found(number, head)
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            self._faults.append(UnreadableRecord(self._path, explain_fault(error)))
        except sqlite3.Error as error:
            self._faults.append(UnreadableRecord(self._path, str(error)))

    def _found(self, number: int, head: object) -> Sequence[FoundEntry]:
        data = head.encode() if isinstance(head, str) else b""
        return found_in(data, RecordRow(self._path, number), self._faults)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[sqlite3.Connection]:
    """Yield a connection to a database of traces. Raises OSError, sqlite3.Error, or ValueError for one of another
    program or version."""
    require_regular(path)
    try:
        connection = _connect(path, "mode=rw")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in _CANNOT_WRITE:
            raise
        # SQLite makes files beside a database to read it. Where it cannot, nobody writes to the database either.
        if os.path.exists(f"{path}-wal") and os.path.getsize(f"{path}-wal"):
            reason = (
                f"{DATABASE}-wal beside it holds records that can only be read where files can be written: copy both"
            )
            raise ValueError(reason) from error
        connection = _connect(path, "immutable=1")
    with contextlib.closing(connection):
        application, version = pragma(connection, "application_id"), pragma(connection, "user_version")
        if application != TRACE_APPLICATION and (application or version or _has_tables(connection)):
            raise ValueError("it is the database of another program")
        if version > VERSION:
            raise ValueError(newer_version(version, VERSION))
        if application:  # else it is empty still
            yield connection
        else:
            raise FileNotFoundError(path)


def _connect(path: str, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"file:{quote(path)}?{mode}", uri=True, timeout=_BUSY_S)
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()  # opens it
    except BaseException:
        connection.close()
        raise
    return connection


def _has_tables(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_schema").fetchone() is not None
