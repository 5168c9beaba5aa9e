"""Removes the oldest trace files: by age, and by total size.

Only files with names of traces are touched, in directories named after a day. The age is read from the name, so that
files are looked at only for their size. Several processes may write to one directory: each measures it again after it
has added some itself, and one at a time removes files. Begin reading at `Retention.run`.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import BinaryIO

from llmproxy.private_files import open_regular
from llmproxy.records.file_lock import has_name, lock_file

DAY_NAME = re.compile(r"\d{4}-\d\d-\d\d")
RECORD_NAME = re.compile(r"(\d{6}\.\d{3})-[0-9a-zA-Z]+\.json")
DAY_FILE_NAME = re.compile(r"(\d{4}-\d\d-\d\d)\.jsonl")
# Unfinished files of a server that was killed. Readers ignore hidden names.
UNFINISHED_NAME = re.compile(r"\.\d{6}\.\d{3}-[0-9a-zA-Z]+\.json\.tmp|\.\d{4}-\d\d-\d\d\.jsonl\.tmp")
UNFINISHED_AGE_S = 600.0
_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
# How often the age is checked, and how often sizes are measured again: other programs may remove files too.
AGE_CHECK_S = 60.0
_MEASURE_S = 3600.0
# The margin removed beyond the limit, so that not every record causes a directory listing.
_MARGIN = 0.05


class Retention:
    """Keeps `directory` within `max_age_s` seconds and `max_bytes` bytes, None for no limit.

    All methods are called by the thread that writes. Files that cannot be removed are tried again the next time.
    """

    def __init__(self, directory: str, max_age_s: float | None, max_bytes: int | None) -> None:
        self._directory = directory
        self._max_age_s = max_age_s
        self._max_bytes = max_bytes
        self._total_bytes = self._added_bytes = 0
        self._count: int | None = None  # of files of records, None where others may have changed the rest
        self._measured_s = float("-inf")
        self._aged_s = float("-inf")
        self._begun = False

    def wrote(self, size_bytes: int, *, files: int = 0) -> None:
        """Count bytes that were added to a file, or to so many new `files` of records."""
        self._total_bytes += size_bytes
        self._added_bytes += size_bytes
        if self._count is not None:
            self._count += files

    def run(self, taken_bytes: int = 0) -> None:
        """Remove files beyond the limits when a check is due; cheap otherwise. `taken_bytes` are taken by others."""
        now_s = time.monotonic()
        if not self._begun:
            self._begun = True
            self._remove_unfinished()
        if self._max_age_s is not None and now_s - self._aged_s >= min(AGE_CHECK_S, max(self._max_age_s / 10, 1.0)):
            self._aged_s = now_s
            self._remove_aged(time.time() - self._max_age_s)
        if self._max_bytes is not None:
            if now_s - self._measured_s >= _MEASURE_S or self._added_bytes > self._max_bytes * _MARGIN:
                self._measure()
            limit_bytes = max(self._max_bytes - taken_bytes, 0)
            if self._total_bytes > limit_bytes:
                self._remove_oldest(limit_bytes)

    def _measure(self) -> None:
        """Measure all files, unless there are as many as this process knows of: then no other one wrote here. Measuring
        a file takes as long as writing it, and is due whenever a twentieth of the limit was added.
        """
        now_s, count = time.monotonic(), self._count_files()
        self._added_bytes = 0
        if count is None or count != self._count or now_s - self._measured_s >= _MEASURE_S:
            self._measured_s, self._count = now_s, count
            self._total_bytes = sum(self._size(path) for path, _ in self._files())

    def _count_files(self) -> int | None:
        """Count the files in the directories of days; None beside files of days, to which others may add lines."""
        names = _listed(self._directory)
        if any(DAY_FILE_NAME.fullmatch(name) for name in names):
            return None
        return sum(len(_listed(os.path.join(self._directory, name))) for name in names if DAY_NAME.fullmatch(name))

    def _remove_unfinished(self) -> None:
        for folder in [self._directory, *(os.path.join(self._directory, day) for day in self._days())]:
            for name in _listed(folder):
                path = os.path.join(folder, name)
                if UNFINISHED_NAME.fullmatch(name) and time.time() - _changed_s(path) > UNFINISHED_AGE_S:
                    _remove(path)

    def _remove_aged(self, oldest_s: float) -> None:
        limit = datetime.fromtimestamp(max(oldest_s, 0.0), UTC).strftime("%Y-%m-%d/%H%M%S.%f")[:-3]
        for path, stamp in self._files():
            if stamp >= limit:
                return
            self._drop(path)

    def _remove_oldest(self, limit_bytes: int) -> None:
        with _locked(self._directory) as alone:
            if not alone:
                return
            self._measure()  # another process may have made room
            if self._total_bytes > limit_bytes:
                self._remove_down_to(limit_bytes - int(limit_bytes * _MARGIN))

    def _remove_down_to(self, target_bytes: int) -> None:
        today = datetime.now(UTC).strftime("%Y-%m-%d.jsonl")
        for path, _ in self._files():
            if self._total_bytes <= target_bytes:
                return
            if os.path.basename(path) == today:
                self._shorten(path, self._size(path) - (self._total_bytes - target_bytes))
            else:
                self._drop(path)
        self._count = None
        self._measure()  # no file of ours is left: the total was wrong

    def _shorten(self, path: str, keep_bytes: int) -> None:
        """Keep the last lines of today's file, `keep_bytes` at most. Readers never see half a file."""
        before = self._size(path)
        with contextlib.suppress(OSError), open(open_regular(path), "rb") as old:
            lock_file(old.fileno())  # another process may append to it
            if has_name(old.fileno(), path):
                _keep_last(old, path, keep_bytes)
        self._total_bytes -= before - self._size(path)

    def _drop(self, path: str) -> None:
        size = self._size(path) if self._max_bytes is not None else 0
        if _remove(path):
            self._total_bytes -= size
            if self._count is not None:
                self._count -= 1

    def _files(self) -> Iterator[tuple[str, str]]:
        """Yield the trace files, oldest first, each with the end of its time (`2026-11-21/235959.999`). Empty
        directories of past days are removed.
        """
        today = datetime.now(UTC).strftime("%Y-%m-%d")
        names = {name.removesuffix(".jsonl") for name in _listed(self._directory) if DAY_FILE_NAME.fullmatch(name)}
        for day in sorted({*names, *self._days()}):
            folder = os.path.join(self._directory, day)
            for name in sorted(_listed(folder)):
                if match := RECORD_NAME.fullmatch(name):
                    yield os.path.join(folder, name), f"{day}/{match[1]}"
            if day in names:
                yield f"{folder}.jsonl", f"{day}/235959.999"
            if day < today:
                with contextlib.suppress(OSError):  # usually it is not empty
                    os.rmdir(folder)

    def _days(self) -> list[str]:
        return [name for name in _listed(self._directory) if DAY_NAME.fullmatch(name)]

    def _size(self, path: str) -> int:
        try:
            return os.stat(path).st_size
        except OSError:
            return 0


@contextlib.contextmanager
def _locked(directory: str) -> Iterator[bool]:
    """Yield whether this is the only process that removes files of `directory` within the block, as far as the system
    can lock a directory."""
    try:
        opened = os.open(directory, os.O_RDONLY)
    except OSError:  # such as on Windows
        yield True
        return
    try:
        yield _lock(opened)
    finally:
        os.close(opened)


def _lock(opened: int) -> bool:
    try:
        lock_file(opened)
    except OSError:
        return False
    return True


def _keep_last(old: BinaryIO, path: str, keep_bytes: int) -> None:
    """Replace `path` by the last lines of `old`. Raises OSError, without leaving a file behind."""
    hidden = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.tmp")
    try:
        with open(open_regular(hidden, _NEW), "wb") as new:
            end = old.seek(0, os.SEEK_END)
            old.seek(max(end - keep_bytes, 0) if keep_bytes > 0 else end)
            old.readline()
            while data := old.read(1024 * 1024):
                new.write(data)
        os.replace(hidden, path)
    except OSError:
        _remove(hidden)
        raise


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _changed_s(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return float("inf")


def _remove(path: str) -> bool:
    try:
        os.unlink(path)
    except OSError:
        return False
    return True
