"""Reads trace records that are lines of the file of their day, `<directory>/<2026-11-21>.jsonl`. Begin reading at
`DayFileReader`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from llmproxy.records.found_records import FoundEntry, UnreadableRecord, started_of
from llmproxy.records.trace_files import MOST_BYTES, RecordLocation, days_in, found_in, open_record
from llmproxy.system_errors import explain_fault

_LINES = ".jsonl"
_BLOCK_BYTES = 64 * 1024
_PREFIX_BYTES = 200  # enough to hold the id


@dataclass(slots=True)
class _ReadLines:
    """Hold how far the file of a day was read: which file, up to which offset, the prefix of the line that ends
    there."""

    file: tuple[int, int] | None = None
    offset: int = 0
    last: bytes = b""

    def has_read(self, lines: str, end: int) -> None:
        """Note that the file `lines` was read up to `end`."""
        self.offset, self.last = end, _last_before(lines, end)


class DayFileReader:
    """The files of lines in `directory`."""

    def __init__(self, directory: str, faults: list[UnreadableRecord]) -> None:
        self._directory = directory
        self._faults = faults
        self._read: dict[str, _ReadLines] = {}

    def entries(self) -> Iterator[FoundEntry]:
        for lines in self._files():
            yield from sorted(self._of_lines(lines), key=started_of)

    def last(self, count: int) -> list[FoundEntry]:
        entries: list[FoundEntry] = []
        for lines in reversed(self._files()):
            if len(entries) >= count:
                break
            start = _start_of_last(lines, count - len(entries))
            entries = [*sorted(self._of_lines(lines, start), key=started_of), *entries]
        return entries[-count:]

    def follow(self) -> list[FoundEntry]:
        self._read = {lines: self._read.get(lines) or _ReadLines() for lines in self._files()}
        return [each for lines, state in self._read.items() for each in self._new_lines(lines, state)]

    def skip(self) -> None:
        self._read = {}
        for lines in self._files():
            state = self._read[lines] = _ReadLines(_identity(lines))
            state.has_read(lines, _end_of_lines(lines))

    def find(self, prefix: str) -> list[FoundEntry]:
        return [each for lines in self._files() for each in self._of_lines(lines) if each.entry.id.startswith(prefix)]

    def _files(self) -> list[str]:
        return [os.path.join(self._directory, day + _LINES) for day in days_in(self._directory, _LINES)]

    def _new_lines(self, lines: str, state: _ReadLines) -> list[FoundEntry]:
        before, state.file = state.file, _identity(lines)
        end = _end_of_lines(lines)
        if before != state.file and state.last:  # replaced, such as by retention, which keeps the last lines
            state.offset = _end_of(lines, state.last)
        elif end < state.offset:  # it was truncated
            state.offset = 0
        if end <= state.offset:
            return []
        entries = list(self._of_lines(lines, state.offset, end))
        state.has_read(lines, end)
        return entries

    def _of_lines(self, path: str, start: int = 0, end: int | None = None) -> Iterator[FoundEntry]:
        try:
            file = open_record(path)
        except FileNotFoundError:
            return
        except OSError as error:
            self._faults.append(UnreadableRecord(path, explain_fault(error)))
            return
        with file:
            file.seek(start)
            offset = start
            while (end is None or offset < end) and (line := file.readline(MOST_BYTES)):
                if line.endswith(b"\n"):
                    yield from found_in(line, RecordLocation(path, offset), self._faults)
                elif len(line) == MOST_BYTES:
                    self._faults.append(UnreadableRecord(path, "a line is too long for a record"))
                    return
                elif line.strip():
                    self._faults.append(UnreadableRecord(path, "its last line is cut off"))
                offset += len(line)


def _end_of_lines(path: str) -> int:
    """Return the offset after the last complete line of a file; 0 without one."""
    return _start_of_last(path, 0)


def _identity(path: str) -> tuple[int, int] | None:
    """Return device and inode of the file at `path` now."""
    try:
        state = os.stat(path)
    except OSError:
        return None
    return state.st_dev, state.st_ino


def _last_before(path: str, end: int) -> bytes:
    """Return the prefix of the line that ends at the offset `end`."""
    if not end:
        return b""
    start = _start_of_last(path, 1, end)
    try:
        with open_record(path) as file:
            file.seek(start)
            return file.read(min(_PREFIX_BYTES, end - start))
    except OSError:
        return b""


def _end_of(path: str, prefix: bytes) -> int:
    """Return the offset after the last line that begins with `prefix`; 0 without one."""
    offset = end = 0
    try:
        with open_record(path) as file:
            while line := file.readline(MOST_BYTES):
                offset += len(line)
                if line.startswith(prefix):
                    end = offset
    except OSError:
        pass
    return end


def _start_of_last(path: str, count: int, end: int | None = None) -> int:
    """Return the offset where the last `count` complete lines before `end` (or the end of the file) begin, searched
    backwards; 0 when there are fewer. A line too long for a record is not searched to its beginning.
    """
    try:
        with open_record(path) as file:
            start = after = file.seek(0, os.SEEK_END) if end is None else end
            while start > 0:
                if after - start > MOST_BYTES:
                    return start
                size = min(_BLOCK_BYTES, start)
                start -= size
                file.seek(start)
                block = file.read(size)
                at = len(block)
                while (at := block.rfind(b"\n", 0, at)) >= 0:
                    if count == 0:
                        return start + at + 1
                    count, after = count - 1, start + at
    except OSError:
        pass
    return 0
