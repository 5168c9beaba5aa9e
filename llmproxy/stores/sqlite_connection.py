"""The connection of one thread to a SQLite file of ours: opened, checked, set aside when it cannot be read.

Several processes may use the file at once. The tables belong to the caller. Begin reading at `SqliteConnection.do`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from llmproxy.private_files import create_private, keep_private, make_directory, may_pass
from llmproxy.stores.facet import StoreFault, StoreRefusal
from llmproxy.system_errors import explain_fault

log = logging.getLogger(__name__)

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]

APPLICATION = 0x6C6C6D70  # "llmp", the application_id of our stores

_BUSY_S = 2.0  # for how long another process may write
_AGAIN_S = 0.01
MAX_WAL_BYTES = 4 << 20
_UNREADABLE = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))
# The file stays readable after these.
_REFUSED = frozenset(
    (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_TOOBIG,
    )
)


class UnusableFile(StoreFault):
    """The file can never be used: no file can be at that place, or another program's database is there."""


class _OtherVersion(Exception):
    """Another version of this program made the file."""


@contextlib.contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """Begin a transaction that may write. Those of other processes wait until it ends."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


class SqliteConnection:
    """The file at `path`, of tables that `schema` makes; `version` is to change with them, `application` tells kinds of
    files apart. `upgrades` has for older versions the statements that lead to the next one.

    A file that cannot be read, or is of another version, takes the place of the one that was set aside before; with
    `keeps` it gets a name of its own, and one of another version is left alone: UnusableFile. Each `checkpoint_pages`
    the log beside the file is written back, with 0 the caller does it. All methods are called by one thread.
    """

    def __init__(
        self,
        path: Path,
        schema: Sequence[str],
        version: int,
        *,
        application: int = APPLICATION,
        keeps: bool = False,
        upgrades: Mapping[int, Sequence[str]] = MappingProxyType({}),
        checkpoint_pages: int = 0,
    ) -> None:
        self._path = path
        self._schema = schema
        self._version = version
        self._application = application
        self._keeps = keeps
        self._upgrades = upgrades
        self._checkpoint_pages = checkpoint_pages
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._warned = False

    def do(self, job: Job[T]) -> T:
        """Return the result of `job`, which is run again when the file has to be begun anew. Raises StoreFault."""
        try:
            try:
                return job(self._opened())
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                if isinstance(error, sqlite3.Error) and _code(error) not in _UNREADABLE:
                    raise
                self._set_aside(_words(error))
                return job(self._opened())
        except sqlite3.Error as error:
            raise (StoreRefusal if _code(error) in _REFUSED else StoreFault)(f"{self._path}: {error}") from error
        except OSError as error:
            raise (StoreFault if may_pass(error) else UnusableFile)(explain_fault(error)) from error

    def _opened(self) -> sqlite3.Connection:
        """Return the connection, a new one when the file was replaced or removed meanwhile."""
        if self._connection is not None and self._inode == _inode(self._path):
            return self._connection
        self.disconnect()
        try:
            make_directory(os.path.dirname(self._path) or os.curdir)
            create_private(os.fspath(self._path))
        except ValueError as error:  # what a NUL in a path raises
            raise UnusableFile(str(error)) from error
        try:
            self._connection = self._open()
        except _OtherVersion as error:
            self._set_aside(str(error))
            create_private(os.fspath(self._path))
            self._connection = self._open()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None)
        try:
            self._inode = _inode(self._path)
            self._prepare_soon(connection)
            for each in (self._path, f"{self._path}-wal", f"{self._path}-shm"):
                keep_private(os.fspath(each))
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare_soon(self, connection: sqlite3.Connection) -> None:
        """Prepare the file, again while others do: SQLite does not wait for them when it changes the journal."""
        deadline_s = time.monotonic() + _BUSY_S
        while True:
            try:
                return self._prepare(connection)
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline_s:
                    raise
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                time.sleep(_AGAIN_S)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("BEGIN")  # one view of the marks, while another process may set them
        missing = self._missing(connection)
        connection.execute("COMMIT")
        if missing:
            # Before the first page is written; changes nothing in a file that another process made meanwhile.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            with writing(connection):
                for statement in self._missing(connection):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {self._application}")
                connection.execute(f"PRAGMA user_version = {self._version}")
        connection.execute(f"PRAGMA journal_size_limit = {MAX_WAL_BYTES}").fetchall()
        connection.execute(f"PRAGMA wal_autocheckpoint = {self._checkpoint_pages}").fetchall()

    def _missing(self, connection: sqlite3.Connection) -> Sequence[str]:
        """Return the statements that make our tables: all where the file is empty, few where an older version made it.
        Raises UnusableFile or _OtherVersion when it is not ours."""
        application, version = pragma(connection, "application_id"), pragma(connection, "user_version")
        if application == self._application:
            return self._upgrade_from(version)
        if (application, version) != (0, 0) or connection.execute("SELECT 1 FROM sqlite_schema").fetchone():
            raise UnusableFile("it is the database of another program")
        return self._schema

    def _upgrade_from(self, version: int) -> Sequence[str]:
        """Return the statements that lead from `version` to ours. Raises UnusableFile or _OtherVersion."""
        older = range(version, self._version)
        if version > self._version or not all(each in self._upgrades for each in older):
            why = f"its version is {version}"
            raise UnusableFile(f"{why}, this llmproxy writes {self._version}") if self._keeps else _OtherVersion(why)
        return [statement for each in older for statement in self._upgrades[each]]

    def _set_aside(self, why: str) -> None:
        """Rename the file, unless another process did so first: then another file is at that path."""
        ours = self._inode
        self.disconnect()
        if ours != _inode(self._path):
            return
        aside = self._aside()
        os.replace(self._path, aside)
        keep_private(os.fspath(aside))
        Path(f"{self._path}-shm").unlink(missing_ok=True)
        if os.path.exists(f"{self._path}-wal"):
            os.replace(f"{self._path}-wal", f"{aside}-wal")
            keep_private(f"{aside}-wal")
        if not self._warned:
            self._warned = True
            log.warning(
                "%s cannot be read (%s); it was renamed to %s, and a new file was begun", self._path, why, aside.name
            )

    def _aside(self) -> Path:
        """Return the name for a file that is set aside."""
        aside = Path(f"{self._path}.unreadable")
        number = 1
        while self._keeps and aside.exists():
            number += 1
            aside = Path(f"{self._path}.unreadable-{number}")
        return aside

    def disconnect(self) -> None:
        """Close the file; the next job opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except (sqlite3.Error, UnicodeDecodeError) as error:
                log.warning("%s was closed with an error: %s", self._path, _words(error))


def free_pages(connection: sqlite3.Connection, most: int) -> None:
    """Give free pages back to the system, `most` of them."""
    # `execute` steps a statement without columns once only, and each step of this one frees one page.
    connection.executescript(f"PRAGMA incremental_vacuum({most})")


def pragma(connection: sqlite3.Connection, name: str) -> int:
    """Return the number that `PRAGMA name` gives."""
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _words(error: Exception) -> str:
    """Return why a file cannot be read. SQLite quotes a damaged schema, whose bytes need not be text."""
    return "its schema is damaged" if isinstance(error, UnicodeDecodeError) else str(error)


def _code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code; 0 for errors of the module itself."""
    try:
        return error.sqlite_errorcode & 0xFF
    except AttributeError:
        return 0


def _inode(path: Path) -> int:
    """Return what tells files of one path apart; 0 when there is none."""
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0
