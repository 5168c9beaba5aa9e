"""Writes trace records into files, so that a reader never sees half of one.

`RecordFiles` writes one file per record and gives it its name when it is complete; `DayFiles` appends lines to one file
per day; `sqlite_traces.py` has the database. All create missing directories again. Called by one thread; OSError loses
that record only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable
from typing import Protocol

from llmproxy.private_files import FILE_MODE, check_directory, keep_private, make_directory, open_regular
from llmproxy.records.file_lock import end_last_line, has_name, lock_file
from llmproxy.records.record import WrittenRecord
from llmproxy.records.retention import Retention

_BINARY = getattr(os, "O_BINARY", 0)  # Windows would write "\r\n"


class TraceStore(Protocol):
    """A destination of records."""

    def check(self) -> None:
        """Create what is missing. Raises OSError or ValueError when nothing can be written. May be called by any
        thread, before the other methods."""

    def write(self, record: WrittenRecord) -> None:
        """Take a record. OSError loses it."""

    def flush(self) -> None:
        """Write buffered records, and remove old ones. OSError loses the buffered records."""

    def close(self) -> None:
        """Close the files. Called after the last flush."""


class RecordFiles:
    """`<directory>/<2026-11-21>/<235959.999>-<id>.json`: names sort by time; a file with its name is complete."""

    def __init__(self, directory: str, retention: Retention) -> None:
        self._directory = directory
        self._retention = retention

    def check(self) -> None:
        check_directory(self._directory)

    def write(self, record: WrittenRecord) -> None:
        started = record.started
        # Open, write, close, rename and nothing else: these calls are half of the cost of a record.
        day = f"{self._directory}/{started[:10]}"
        name = f"{started[11:13]}{started[14:16]}{started[17:23]}-{record.id}.json"
        hidden = f"{day}/.{name}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY
        file = _open(hidden, flags, day)
        try:
            try:
                size = _write_all(file, record)
            finally:
                os.close(file)
            os.rename(hidden, f"{day}/{name}")
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(hidden)
            raise
        self._retention.wrote(size, files=1)

    def flush(self) -> None:
        self._retention.run()

    def close(self) -> None:
        return


class DayFiles:
    """`<directory>/<2026-11-21>.jsonl`: one record a line. Lines are buffered until `flush`, which writes those of a
    day at once or, when it raises OSError, none. The file is opened anew each time: it may have been moved or removed.
    """

    def __init__(self, directory: str, retention: Retention) -> None:
        self._directory = directory
        self._retention = retention
        self._lines: dict[str, list[bytes]] = {}

    def check(self) -> None:
        check_directory(self._directory)

    def write(self, record: WrittenRecord) -> None:
        self._lines.setdefault(record.started[:10], []).append(one_line(record.text))

    def flush(self) -> None:
        days, self._lines = self._lines, {}
        try:
            for day, lines in days.items():
                self._append(f"{self._directory}/{day}.jsonl", b"".join(lines))
        finally:
            self._retention.run()  # this may make room on a full disk

    def close(self) -> None:
        return

    def _append(self, path: str, text: bytes) -> None:
        file = _open_lines(path, self._directory)
        try:
            _append(file, text)
        finally:
            os.close(file)
        self._retention.wrote(len(text))


def one_line(text: bytes) -> bytes:
    """Return the text of a record as one line."""
    return text[:-1].replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"


def _open(path: str, flags: int, directory: str, opener: Callable[[str, int, int], int] = os.open) -> int:
    try:
        return opener(path, flags, FILE_MODE)
    except FileNotFoundError:
        make_directory(directory)
        return opener(path, flags, FILE_MODE)


def _open_lines(path: str, directory: str) -> int:
    """Return the file, locked, at the beginning of a line: a line left unfinished by a crash is ended.

    Another process that writes here may be shortening the file.
    """
    while True:
        file = _open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, directory, open_regular)
        try:
            lock_file(file)
            if has_name(file, path):
                keep_private(path)
                end_last_line(file)
                return file
        except OSError:
            os.close(file)
            raise
        os.close(file)


def _append(file: int, lines: bytes) -> None:
    """Write all lines at once, so that lines of several processes do not mix. A full disk leaves no partial line."""
    written = os.write(file, lines)
    if written == len(lines):
        return
    end = os.lseek(file, 0, os.SEEK_CUR)
    if os.fstat(file).st_size == end:
        os.ftruncate(file, end - written)
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _write_all(file: int, record: WrittenRecord) -> int:
    """Write a record and return its size. Its parts are not joined: a body may be long."""
    size, written = sum(map(len, record.parts)), 0
    if sys.platform != "win32":
        written = os.writev(file, record.parts)
    rest = b"" if written == size else record.text[written:]
    while rest:
        rest = rest[os.write(file, rest) :]
    return size
