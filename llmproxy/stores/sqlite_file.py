"""One SQLite file, used from a thread of its own: opened, checked, set aside when it cannot be read, kept small.

Several processes may use the file at once. Work on it comes as jobs, which are functions of the connection; the
tables belong to the caller. Begin reading at `SqliteFile.run`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from llmproxy.private_files import create_private, explain_fault, keep_private, make_directory, may_pass
from llmproxy.stores.facet import StoreFault, StoreRefusal

log = logging.getLogger(__name__)

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]

APPLICATION = 0x6C6C6D70  # "llmp", the application_id of our files

_BUSY_S = 2.0  # for how long another process may write
_AGAIN_S = 0.01
_MAX_WAITING = 1024
_MAX_WAL_BYTES = 4 << 20
_COMMIT_BYTES = 32 << 10  # the pages of rows and indexes that a transaction writes, about
_VACUUM_PAGES = 1024
_FEW_PAGES = 256
_CLOSE_S = 5.0
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


class SqliteFile:
    """The file at `path`, of tables that `schema` makes; `version` is to change with them."""

    def __init__(self, path: Path, schema: Sequence[str], version: int) -> None:
        self._path = path
        self._schema = schema
        self._version = version
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._warned = False
        self._room = threading.Semaphore(_MAX_WAITING)
        self._tidying = False
        self._untidy_bytes = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"sqlite {path.name}")

    async def close(self) -> None:
        """Run the jobs that wait, within some seconds, and close the file."""
        with contextlib.suppress(RuntimeError):  # what a closed executor raises
            try:
                async with asyncio.timeout(_CLOSE_S):
                    await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
            except TimeoutError:
                log.warning("%s was not closed in time", self._path)
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def run(self, job: Job[T]) -> T:
        """Return the result of `job`. Raises StoreFault. Cancelled, the job is not run, unless it had begun."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._do, job)
        except RuntimeError as error:  # what a closed executor raises
            raise StoreFault(f"{self._path} is closed") from error

    def later(self, job: Job[object]) -> bool:
        """Run `job` when it is its turn and drop its result. Return whether there was room for it."""
        if not self._room.acquire(blocking=False):
            return False
        try:
            begun = self._thread.submit(self._do, job)
        except RuntimeError:
            return False
        begun.add_done_callback(self._done)
        return True

    def _done(self, job: Future[object]) -> None:
        self._room.release()
        fault = None if job.cancelled() else job.exception()
        if fault is not None and not isinstance(fault, StoreFault):
            raise fault  # a mistake of ours: concurrent.futures logs it

    def _do(self, job: Job[T]) -> T:
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
        self._disconnect()
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
        new = self._is_new(connection)
        connection.execute("COMMIT")
        if new:
            # Before the first page is written; changes nothing in a file that another process made meanwhile.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            with writing(connection):
                if self._is_new(connection):
                    for statement in self._schema:
                        connection.execute(statement)
                    connection.execute(f"PRAGMA application_id = {APPLICATION}")
                    connection.execute(f"PRAGMA user_version = {self._version}")
        connection.execute(f"PRAGMA journal_size_limit = {_MAX_WAL_BYTES}").fetchall()
        connection.execute("PRAGMA wal_autocheckpoint = 0").fetchall()  # `_tidy` does it when nobody waits

    def _is_new(self, connection: sqlite3.Connection) -> bool:
        """Return whether the file is empty. Raises UnusableFile or _OtherVersion when it is not ours."""
        marks = (pragma(connection, "application_id"), pragma(connection, "user_version"))
        if marks == (APPLICATION, self._version):
            return False
        if marks[0] == APPLICATION:
            raise _OtherVersion(f"its version is {marks[1]}")
        if marks != (0, 0) or connection.execute("SELECT 1 FROM sqlite_schema").fetchone():
            raise UnusableFile("it is the database of another program")
        return True

    def _set_aside(self, why: str) -> None:
        """Rename the file, unless another process did so first: then another file is at that path."""
        ours = self._inode
        self._disconnect()
        if ours != _inode(self._path):
            return
        aside = Path(f"{self._path}.unreadable")
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

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except (sqlite3.Error, UnicodeDecodeError) as error:
                log.warning("%s was closed with an error: %s", self._path, _words(error))

    def tidy_soon(self, size_bytes: int) -> None:
        """Note that a job wrote about `size_bytes`; checkpoint when there is enough of it. To be called by jobs."""
        self._untidy_bytes += size_bytes + _COMMIT_BYTES
        if self._untidy_bytes >= _MAX_WAL_BYTES and not self._tidying:
            self._tidying = self.later(self._tidy)

    def _tidy(self, connection: sqlite3.Connection) -> None:
        self._tidying, self._untidy_bytes = False, 0
        free, pages = pragma(connection, "freelist_count"), pragma(connection, "page_count")
        if free > max(pages // 4, _FEW_PAGES):
            # `execute` steps a statement without columns once only, and each step of this one frees one page.
            connection.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
            self._tidying = self.later(self._tidy)
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def tidy(self) -> None:
        """Give free pages back to the system soon."""
        self.later(self._tidy)


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
