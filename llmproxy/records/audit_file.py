"""The audit file: JSON lines, appended whole, by any number of processes at the same time.

`AuditLine` is one line. `AuditFile` is the sink of a `BackgroundWriter`: lines that cannot be written are kept and
tried again while there is room; a full file is renamed, and nothing is deleted or overwritten. Begin reading at
`AuditFile.flush`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import sys
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from llmproxy.fault_log import FaultLog
from llmproxy.private_files import FILE_MODE, keep_private, make_directory
from llmproxy.records.file_lock import end_last_line, has_name, lock_file, unlock_file
from llmproxy.redaction.secrets import mask_bytes
from llmproxy.system_errors import explain_fault

log = logging.getLogger(__name__)

_VERSION = 1
FSync = Literal["always", "interval", "never"]
SYNC_S = 1.0
# The queue for a disk that is full or gone: some 40,000 lines.
KEPT_BYTES = 16 * 1024 * 1024
# The most bytes of one write, so that a lock is never held for long.
_WRITE_BYTES = 1024 * 1024
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL


class AuditLine(msgspec.Struct, kw_only=True, gc=False):
    """One request and its outcome. Every line has all fields, in this order.

    `time` is the time of the request (UTC, RFC 3339, microseconds). `client` is an address, `key` the name of the
    client's key, `session` the conversation. `model` is the requested model, `served_model` the one that answered,
    `provider` the last provider called, in `attempts` calls. `outcome` is `complete`, `incomplete`, `cancelled`,
    `broken` or `error`; `status` is the one sent to the client, null when it left before; `error` is a stable code.
    Tokens are as reported by the provider, null when it did not report them. `cost_usd` is the price of the calls, null
    when it is unknown. `request_bytes` is the length declared by
    the client, null for a chunked body; `response_bytes` counts the bytes of the body sent to it.
    """

    version: int = _VERSION
    time: str
    id: str
    request_id: str
    client: str
    key: str | None
    agent: str
    session: str | None
    method: str
    path: str
    dialect: str | None
    model: str | None
    served_model: str | None
    provider: str | None
    route: str | None
    stream: bool
    outcome: str
    status: int | None
    error: str | None
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    cost_usd: float | None
    duration_ms: float
    first_token_ms: float | None
    attempts: int
    request_bytes: int | None
    response_bytes: int


class AuditFile:
    """Appends lines to `path`. Its methods are for one thread at a time; the attributes may be read from any thread.

    `fault` says why lines wait, None while writing works; `waiting` is their number. `rename_fault` says why a full
    file could not be renamed; it grows then.
    """

    def __init__(self, path: str, *, fsync: FSync, max_size_bytes: int | None, kept_bytes: int = KEPT_BYTES) -> None:
        self.path = path
        self.fault: str | None = None
        self.rename_fault: str | None = None
        self._fsync = fsync
        self._max_size_bytes = sys.maxsize if max_size_bytes is None else max_size_bytes
        self._room_bytes = kept_bytes
        self._lines: deque[bytes] = deque()
        self._encoder = msgspec.json.Encoder()
        self._file: int | None = None
        self._unsynced = self._unlisted = False
        self._synced_s = 0.0
        # The end of the file when a write stopped within the first line, and how much of that line was written.
        self._torn: tuple[int, int, int] | None = None
        self._begun_bytes = 0
        self._writing, self._renaming = FaultLog(log), FaultLog(log)

    @property
    def waiting(self) -> int:
        """Return how many lines are not in the file yet."""
        return len(self._lines)

    def open(self) -> int:
        """Open the file and create its directory where needed. Raises OSError."""
        if self._file is None:
            make_directory(os.path.dirname(self.path) or os.curdir)
            self._file = os.open(self.path, _FLAGS, FILE_MODE)
            if stat.S_ISREG(os.fstat(self._file).st_mode):
                keep_private(self.path)
            self._unlisted = True
        return self._file

    def write(self, item: tuple[AuditLine, tuple[str, ...]]) -> None:
        """Queue one line; `item` is the line and the secrets to mask in it. Raises OSError when the queue is full."""
        line = mask_bytes(self._encoder.encode(item[0]) + b"\n", item[1])
        if self._room_bytes < len(line):
            raise OSError(f"{self.fault or 'the disk is too slow'}; the queue is full")
        self._room_bytes -= len(line)
        self._lines.append(line)

    def flush(self) -> None:
        """Append the queued lines. Lines that cannot be written now stay queued, and `fault` says why."""
        try:
            while self._lines:
                self._append()
            self._sync()
        except OSError as error:
            self._close()
            self.fault = explain_fault(error)
            self._writing.failed(
                logging.ERROR, "audit: cannot write to %s; lines are kept and tried again: %s", self.path, self.fault
            )
            return
        self.fault = None
        self._writing.works("audit: writing to %s works again", self.path)

    def close(self) -> None:
        """Close the file. Raises OSError when lines are left."""
        self._close()
        if self._lines:
            raise OSError(f"cannot write {len(self._lines)} lines to {self.path}: {self.fault}")

    def _append(self) -> None:
        """Write as many lines as fit at once, or rename a file that is full."""
        with self._locked() as file:
            state = os.fstat(file)
            plain = stat.S_ISREG(state.st_mode)
            begun_bytes = self._begun_bytes if _end(state) == self._torn else 0
            if plain and not begun_bytes:
                end_last_line(file)
            room_bytes = self._max_size_bytes - state.st_size if plain else _WRITE_BYTES
            full = state.st_size > 0 and room_bytes < len(self._lines[0]) and not begun_bytes
            if plain and full and self._put_aside():
                return
            written = os.write(file, b"".join(self._some(room_bytes))[begun_bytes:])
            self._unsynced = self._unsynced or plain
            self._begun_bytes = self._forget(begun_bytes + written)
            self._torn = _end(os.fstat(file)) if self._begun_bytes else None

    def _some(self, room_bytes: int) -> Iterator[bytes]:
        """Yield lines that together fit into `room_bytes` and into one write, at least one."""
        room_bytes = min(room_bytes, _WRITE_BYTES)
        for number, line in enumerate(self._lines):
            room_bytes -= len(line)
            if number and room_bytes < 0:
                return
            yield line

    def _forget(self, written_bytes: int) -> int:
        """Drop the written lines from the queue; return how many bytes of the next one were written."""
        while self._lines and len(self._lines[0]) <= written_bytes:
            line = self._lines.popleft()
            written_bytes -= len(line)
            self._room_bytes += len(line)
        return written_bytes

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        """Yield the file that has the name now, locked against writes and renames by other processes."""
        while True:
            file = self.open()
            lock_file(file)
            if has_name(file, self.path):
                break
            self._close()  # this releases the lock too
        try:
            yield file
        finally:
            if self._file is not None:
                unlock_file(file)

    def _put_aside(self) -> bool:
        """Rename the full file, with the time in its name; return False when it cannot be renamed."""
        try:
            if sys.platform == "win32":
                self._close()  # an open file cannot be renamed there
            else:
                self._sync(now=True)
            _rename(Path(self.path))
        except OSError as error:
            self.rename_fault = reason = explain_fault(error)
            self._renaming.failed(
                logging.ERROR,
                "audit: %s has reached max_size but cannot be renamed, so it grows: %s",
                self.path,
                reason,
            )
            return self._file is None
        self._close()
        self.rename_fault = None
        return True

    def _sync(self, now: bool = False) -> None:
        """Flush written data to the disk, as often as `fsync` says."""
        if self._file is None or not self._unsynced or self._fsync == "never":
            return
        moment_s = time.monotonic()
        if now or self._fsync == "always" or moment_s - self._synced_s >= SYNC_S:
            os.fsync(self._file)
            self._unsynced, self._synced_s = False, moment_s
            if self._unlisted:
                _sync_directory(Path(self.path).parent)
                self._unlisted = False

    def _close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._sync(now=True)
            file, self._file, self._unsynced = self._file, None, False
            with contextlib.suppress(OSError):
                os.close(file)


def _rename(path: Path) -> None:
    """Rename `path` to a free name beside it. The name is reserved first: renaming alone would overwrite."""
    moment_s, microsecond = divmod(time.time_ns() // 1000, 1_000_000)
    while True:
        stamp = datetime.fromtimestamp(moment_s, UTC).strftime("%Y%m%dT%H%M%S")
        name = path.with_name(f"{path.stem}-{stamp}.{microsecond:06d}Z{path.suffix}")
        try:
            if sys.platform == "win32":
                os.rename(path, name)  # this fails for a name that exists
            else:
                os.close(os.open(name, _NEW, FILE_MODE))
                _replace(path, name)
            return
        except FileExistsError:
            carry, microsecond = divmod(microsecond + 1, 1_000_000)
            moment_s += carry


def _replace(path: Path, name: Path) -> None:
    try:
        os.replace(path, name)
    except OSError:
        os.unlink(name)  # it is empty: only the name was reserved
        raise


def _end(state: os.stat_result) -> tuple[int, int, int]:
    return state.st_dev, state.st_ino, state.st_size


def _sync_directory(directory: Path) -> None:
    """Flush the name of a file to the disk as well."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            opened = os.open(directory, os.O_RDONLY)
            try:
                os.fsync(opened)
            finally:
                os.close(opened)
