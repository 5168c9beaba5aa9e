"""One SQLite file of a store, used from a thread of its own, and kept small.

Work on it comes as jobs, which are functions of the connection; `sqlite_connection.py` opens the file. Begin reading at
`SqliteFile.run`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from llmproxy.stores.facet import StoreFault
from llmproxy.stores.sqlite_connection import MAX_WAL_BYTES, Job, SqliteConnection, T, free_pages, pragma

log = logging.getLogger(__name__)

_MAX_WAITING = 1024
_COMMIT_BYTES = 32 << 10  # the pages of rows and indexes that a transaction writes, about
_VACUUM_PAGES = 1024
_FEW_PAGES = 256
_CLOSE_S = 5.0


class SqliteFile:
    """The file at `path`, of tables that `schema` makes; `version` is to change with them, and `upgrades` has for older
    versions the statements that lead to the next."""

    def __init__(
        self, path: Path, schema: Sequence[str], version: int, upgrades: Mapping[int, Sequence[str]] | None = None
    ) -> None:
        self._path = path
        self._connection = SqliteConnection(path, schema, version, upgrades=upgrades or {})
        self._room = threading.Semaphore(_MAX_WAITING)
        self._tidying = False
        self._untidy_bytes = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"sqlite {path.name}")

    async def close(self) -> None:
        """Run the jobs that wait, within some seconds, and close the file."""
        with contextlib.suppress(RuntimeError):  # what a closed executor raises
            try:
                async with asyncio.timeout(_CLOSE_S):
                    await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.disconnect)
            except TimeoutError:
                log.warning("%s was not closed in time", self._path)
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def run(self, job: Job[T]) -> T:
        """Return the result of `job`. Raises StoreFault. Cancelled, the job is not run, unless it had begun."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.do, job)
        except RuntimeError as error:  # what a closed executor raises
            raise StoreFault(f"{self._path} is closed") from error

    def later(self, job: Job[object]) -> bool:
        """Run `job` when it is its turn and drop its result. Return whether there was room for it."""
        if not self._room.acquire(blocking=False):
            return False
        try:
            begun = self._thread.submit(self._connection.do, job)
        except RuntimeError:
            return False
        begun.add_done_callback(self._done)
        return True

    def _done(self, job: Future[object]) -> None:
        self._room.release()
        fault = None if job.cancelled() else job.exception()
        if fault is not None and not isinstance(fault, StoreFault):
            raise fault  # a mistake of ours: concurrent.futures logs it

    def tidy_soon(self, size_bytes: int) -> None:
        """Note that a job wrote about `size_bytes`; checkpoint when there is enough of it. To be called by jobs."""
        self._untidy_bytes += size_bytes + _COMMIT_BYTES
        if self._untidy_bytes >= MAX_WAL_BYTES and not self._tidying:
            self._tidying = self.later(self._tidy)

    def _tidy(self, connection: sqlite3.Connection) -> None:
        self._tidying, self._untidy_bytes = False, 0
        free, pages = pragma(connection, "freelist_count"), pragma(connection, "page_count")
        if free > max(pages // 4, _FEW_PAGES):
            free_pages(connection, _VACUUM_PAGES)
            self._tidying = self.later(self._tidy)
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def tidy(self) -> None:
        """Give free pages back to the system soon."""
        self.later(self._tidy)
