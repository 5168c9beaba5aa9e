"""The audit file: JSON lines that are only ever appended, whole, by any number of processes at the same time.

`AuditLine` is what one line says. `AuditFile` is the sink that a `Writer` gives lines to: what cannot be written is
kept and tried again, as long as there is room; a full file gets a name of its own, and nothing is deleted or
overwritten. Begin reading at `AuditFile.flush`.
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

from llmproxy.records.file_lock import has_name, lock_file, unlock_file
from llmproxy.redaction.secrets import mask_bytes

log = logging.getLogger(__name__)

VERSION = 1
FSync = Literal["always", "interval", "never"]
SYNC_S = 1.0
# What waits for a disk that is full or gone: some 40,000 lines.
KEPT_BYTES = 16 * 1024 * 1024
# At most so much goes into one write, so that a lock is never held for long.
_WRITE_BYTES = 1024 * 1024
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_MODE = 0o600


class AuditLine(msgspec.Struct, kw_only=True, gc=False):
    """Who called what, and what came of it. Every line has all members, in this order.

    `time` is when the request came (UTC, RFC 3339, microseconds). `client` is an address, `key` the name of the
    client's key, `session` the conversation. `model` is what was asked for, `served_model` what answered, `provider`
    who was asked last, in `attempts` calls. `outcome` is `complete`, `incomplete`, `cancelled`, `broken` or `error`;
    `status` is what the client got, null when it left before; `error` is a stable word. Tokens are the provider's
    count; what nobody said is null. `request_bytes` is the length that the client declared, null for a body in chunks;
    `response_bytes` is what it was sent of a body.
    """

    version: int = VERSION
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
    duration_ms: float
    first_token_ms: float | None
    attempts: int
    request_bytes: int | None
    response_bytes: int


class AuditFile:
    """Appends lines to `path`. Its methods are for one thread at a time; the attributes may be read anywhere.

    `fault` says why lines wait, None while nothing is wrong; `waiting` is how many do. `unrotated` says why a full file
    could not be put aside; it grows then.
    """

    def __init__(self, path: str, *, fsync: FSync, max_size_bytes: int | None, kept_bytes: int = KEPT_BYTES) -> None:
        self.path = path
        self.fault: str | None = None
        self.unrotated: str | None = None
        self._fsync = fsync
        self._max_size_bytes = sys.maxsize if max_size_bytes is None else max_size_bytes
        self._room_bytes = kept_bytes
        self._lines: deque[bytes] = deque()
        self._encoder = msgspec.json.Encoder()
        self._file: int | None = None
        self._unsynced = self._unlisted = False
        self._synced_s = 0.0
        # Where the file ended when a write stopped within the first line, and how much of that line is there.
        self._torn: tuple[int, int, int] | None = None
        self._begun_bytes = 0

    @property
    def waiting(self) -> int:
        """How many lines are not in the file yet."""
        return len(self._lines)

    def open(self) -> int:
        """Open the file, and make its directory where there is none. Raises OSError."""
        if self._file is None:
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, _FLAGS, _MODE)
            self._unlisted = True
        return self._file

    def write(self, item: tuple[AuditLine, tuple[str, ...]]) -> None:
        """Take one line, and the secrets that must not be in it. Raises OSError when too much waits already."""
        line = mask_bytes(self._encoder.encode(item[0]) + b"\n", item[1])
        if self._room_bytes < len(line):
            raise OSError(f"{self.fault or 'the disk is too slow'}; no more lines can be kept")
        self._room_bytes -= len(line)
        self._lines.append(line)

    def flush(self) -> None:
        """Append what waits. What cannot be written now stays, and `fault` says why."""
        try:
            while self._lines:
                self._append()
            self._sync()
        except OSError as error:
            self._close()
            if self.fault is None:
                log.error("audit: lines are kept until they can be written to %s: %s", self.path, _reason(error))
            self.fault = _reason(error)
            return
        if self.fault is not None:
            log.warning("audit: %s is written again", self.path)
            self.fault = None

    def close(self) -> None:
        """The end. Raises OSError when lines are left."""
        self._close()
        if self._lines:
            raise OSError(f"{len(self._lines)} lines could not be written to {self.path}: {self.fault}")

    def _append(self) -> None:
        """One write of as many lines as fit, or the renaming of a file that is full."""
        with self._locked() as file:
            state = os.fstat(file)
            plain = stat.S_ISREG(state.st_mode)
            begun_bytes = self._begun_bytes if _end(state) == self._torn else 0
            if plain and not begun_bytes:
                _end_line(file, state.st_size)
            room_bytes = self._max_size_bytes - state.st_size if plain else _WRITE_BYTES
            full = state.st_size > 0 and room_bytes < len(self._lines[0]) and not begun_bytes
            if plain and full and self._put_aside():
                return
            written = os.write(file, b"".join(self._some(room_bytes))[begun_bytes:])
            self._unsynced = self._unsynced or plain
            self._begun_bytes = self._forget(begun_bytes + written)
            self._torn = _end(os.fstat(file)) if self._begun_bytes else None

    def _some(self, room_bytes: int) -> Iterator[bytes]:
        """Lines that together fit into `room_bytes` and into one write, at least one."""
        room_bytes = min(room_bytes, _WRITE_BYTES)
        for number, line in enumerate(self._lines):
            room_bytes -= len(line)
            if number and room_bytes < 0:
                return
            yield line

    def _forget(self, written_bytes: int) -> int:
        """Drop the lines that were written; gives back how much of the next one was."""
        while self._lines and len(self._lines[0]) <= written_bytes:
            line = self._lines.popleft()
            written_bytes -= len(line)
            self._room_bytes += len(line)
        return written_bytes

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        """The file that bears the name now, which no other process writes to or renames meanwhile."""
        while True:
            file = self.open()
            lock_file(file)
            if has_name(file, self.path):
                break
            self._close()  # which ends the lock too
        try:
            yield file
        finally:
            if self._file is not None:
                unlock_file(file)

    def _put_aside(self) -> bool:
        """Give the full file a name of its own, with the time in it; False when that cannot be."""
        try:
            if sys.platform == "win32":
                self._close()  # an open file cannot be renamed there
            else:
                self._sync(now=True)
            _rename(Path(self.path))
        except OSError as error:
            if self.unrotated is None:
                log.error("audit: %s is full but cannot be renamed, so it grows: %s", self.path, _reason(error))
            self.unrotated = _reason(error)
            return self._file is None
        self._close()
        self.unrotated = None
        return True

    def _sync(self, now: bool = False) -> None:
        """Have the disk keep what was written, as often as is wanted."""
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
    """Rename `path` to a name beside it that nobody has. The name is taken first: renaming alone would overwrite."""
    moment_s, microsecond = divmod(time.time_ns() // 1000, 1_000_000)
    while True:
        told = datetime.fromtimestamp(moment_s, UTC).strftime("%Y%m%dT%H%M%S")
        name = path.with_name(f"{path.stem}-{told}.{microsecond:06d}Z{path.suffix}")
        try:
            if sys.platform == "win32":
                os.rename(path, name)  # which refuses names that are taken
            else:
                os.close(os.open(name, _NEW, _MODE))
                _replace(path, name)
            return
        except FileExistsError:
            carry, microsecond = divmod(microsecond + 1, 1_000_000)
            moment_s += carry


def _replace(path: Path, name: Path) -> None:
    try:
        os.replace(path, name)
    except OSError:
        os.unlink(name)  # it is empty: only the name was taken
        raise


def _end_line(file: int, size_bytes: int) -> None:
    """End the line that a writer left unfinished which was killed, or had no room."""
    if size_bytes:
        os.lseek(file, size_bytes - 1, os.SEEK_SET)
        if os.read(file, 1) != b"\n":
            os.write(file, b"\n")


def _end(state: os.stat_result) -> tuple[int, int, int]:
    return state.st_dev, state.st_ino, state.st_size


def _sync_directory(directory: Path) -> None:
    """Have the disk keep a file's name as well."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            opened = os.open(directory, os.O_RDONLY)
            try:
                os.fsync(opened)
            finally:
                os.close(opened)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
