"""Reads the records of the trace middleware: lists them, follows them, finds one by a prefix of its id.

Only the first line of a file is read where an `Entry` is enough: 50,000 files take half a second. Files may be cut off,
foreign, or of a newer version; each of these is an `UnreadableRecord`, never an exception. Begin reading at
`TraceReader`.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO, NamedTuple

import msgspec

from llmproxy.private_files import open_regular
from llmproxy.records.entry import RECORD_VERSION, Entry
from llmproxy.records.record import Record

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_SUFFIX, _LINES = ".json", ".jsonl"
# The first line of a record rarely needs more.
_HEAD_BYTES = 16 * 1024
_MOST_BYTES = 256 * 1024 * 1024
_BLOCK_BYTES = 64 * 1024
_PREFIX_BYTES = 200  # enough to hold the id
_COARSE_NS = 2_000_000_000  # some file systems round times to this
_ENTRY = msgspec.json.Decoder(Entry)


class _First(Entry, kw_only=True):
    """An entry of a version that this program reads."""

    version: Annotated[int, msgspec.Meta(ge=1, le=RECORD_VERSION)] = RECORD_VERSION


_RECORD = msgspec.json.Decoder(Record)
_FIRST = msgspec.json.Decoder(_First)


class RecordLocation(NamedTuple):
    """Place of a record: a file, and in files of many lines the offset of its line, else -1."""

    path: str
    offset: int = -1


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """A file, or a line of one, that cannot be read as a record."""

    path: str
    why: str


class _Version(msgspec.Struct):
    version: Any = None


_VERSION = msgspec.json.Decoder(_Version)


class FoundEntry(NamedTuple):
    """An entry and the place of its record."""

    entry: Entry
    place: RecordLocation


@dataclass(slots=True)
class _Day:
    """State of one day: names in its directory, and how far its file of lines was read: which file, up to which
    offset, and the prefix of the line that ends there.
    """

    names: frozenset[str] = frozenset()
    changed_ns: int = -1
    file: tuple[int, int] | None = None
    offset: int = 0
    last: bytes = b""

    def has_read(self, lines: str, end: int) -> None:
        """Note that the file `lines` was read up to `end`."""
        self.offset, self.last = end, _last_before(lines, end)


class TraceReader:
    """Records below one directory. `faults` collects those that could not be read."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.faults: list[UnreadableRecord] = []
        self._days: dict[str, _Day] = {}

    def entries(self) -> Iterator[FoundEntry]:
        """Yield every record, oldest first."""
        for day in self._list_days():
            yield from self._of_day(day)

    def last(self, count: int) -> list[FoundEntry]:
        """Return the `count` newest records, oldest first. Reads no more files than necessary."""
        entries: list[FoundEntry] = []
        for day in reversed(self._list_days()):
            if len(entries) >= count:
                break
            entries = [*self._last_of_day(day, count - len(entries)), *entries]
        return entries

    def follow(self) -> list[FoundEntry]:
        """Return the records added since the last call or since `skip`, oldest first; at first all of them.

        A directory is read only when it changed.
        """
        entries: list[FoundEntry] = []
        days = self._list_days()
        self._days = {day: self._days.get(day) or _Day() for day in days}
        for day, state in self._days.items():
            entries += self._new_of_day(day, state)
        return entries

    def skip(self) -> None:
        """Ignore all present records in later calls of `follow`."""
        self._days = {}
        for day in self._list_days():
            lines = self._lines_path(day)
            state = self._days[day] = _Day(frozenset(self._names(day)), file=_identity(lines))
            state.has_read(lines, _end_of_lines(lines))

    def find(self, prefix: str) -> list[FoundEntry]:
        """Return the records whose id begins with `prefix`, else those whose request id does; oldest first.

        A record with exactly that id is returned alone.
        """
        entries: list[FoundEntry] = []
        for day in self._list_days():
            for name in self._names(day):
                if name.partition("-")[2].startswith(prefix):
                    entries += self._read(os.path.join(self.directory, day, name))
            lines = self._lines_path(day)
            entries += [each for each in self._of_lines(lines) if each.entry.id.startswith(prefix)]
        exact = [each for each in entries if each.entry.id == prefix]
        return exact or entries or [each for each in self.entries() if each.entry.request_id.startswith(prefix)]

    def records(self, entries: Iterable[FoundEntry]) -> Iterator[tuple[Record, bytes]]:
        """Yield the whole records with their text, one by one."""
        for each in entries:
            try:
                yield read_record(each.place)
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
                self.faults.append(UnreadableRecord(each.place.path, reason.lower()))

    def _of_day(self, day: str) -> list[FoundEntry]:
        entries = [each for name in self._names(day) for each in self._read(os.path.join(self.directory, day, name))]
        lines = list(self._of_lines(self._lines_path(day)))
        return sorted([*entries, *lines], key=_started) if entries and lines else entries or lines

    def _last_of_day(self, day: str, count: int) -> list[FoundEntry]:
        lines = self._lines_path(day)
        appended = list(self._of_lines(lines, _start_of_last(lines, count)))
        entries: list[FoundEntry] = []
        for name in reversed(self._names(day)):
            if len(entries) >= count:
                break
            entries += self._read(os.path.join(self.directory, day, name))
        return sorted([*appended, *entries], key=_started)[-count:]

    def _new_of_day(self, day: str, state: _Day) -> list[FoundEntry]:
        entries: list[FoundEntry] = []
        path = os.path.join(self.directory, day)
        changed_ns = _changed_ns(path)
        if changed_ns != state.changed_ns:
            names = frozenset(self._names(day))
            for name in sorted(names - state.names):
                entries += self._read(os.path.join(path, name))
            state.names = names
            # Times of directories are coarse: one that changed just now may change again with the same time.
            state.changed_ns = changed_ns if abs(time.time_ns() - changed_ns) > _COARSE_NS else -1
        return entries + self._new_lines(self._lines_path(day), state)

    def _new_lines(self, lines: str, state: _Day) -> list[FoundEntry]:
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

    def _list_days(self) -> list[str]:
        try:
            names = os.listdir(self.directory)
        except OSError:
            return []
        return sorted({name.removesuffix(_LINES) for name in names if _DAY.fullmatch(name.removesuffix(_LINES))})

    def _names(self, day: str) -> list[str]:
        try:
            names = os.listdir(os.path.join(self.directory, day))
        except OSError:
            return []
        return sorted(name for name in names if name.endswith(_SUFFIX) and not name.startswith("."))

    def _lines_path(self, day: str) -> str:
        return os.path.join(self.directory, day + _LINES)

    def _read(self, path: str) -> Sequence[FoundEntry]:
        """Return the record in one file; nothing, and a fault, when it cannot be read."""
        try:
            head, whole = _read_head(path)
        except OSError as error:
            if not isinstance(error, FileNotFoundError):  # removed meanwhile
                self.faults.append(UnreadableRecord(path, (error.strerror or str(error)).lower()))
            return ()
        if not whole:
            try:
                return (FoundEntry(_FIRST.decode(head), RecordLocation(path)),)
            except (ValueError, RecursionError):
                pass  # of another version, or not a record: the whole file shows which
        try:
            with _open_record(path) as file:
                data = file.read(_MOST_BYTES)
        except OSError as error:
            self.faults.append(UnreadableRecord(path, (error.strerror or str(error)).lower()))
            return ()
        return self._decoded(path, data, RecordLocation(path))

    def _decoded(self, path: str, data: bytes, place: RecordLocation) -> Sequence[FoundEntry]:
        decoded = _decode(data)
        if isinstance(decoded, Entry):
            return (FoundEntry(decoded, place),)
        self.faults.append(UnreadableRecord(path, decoded))
        return ()

    def _of_lines(self, path: str, start: int = 0, end: int | None = None) -> Iterator[FoundEntry]:
        try:
            file = _open_record(path)
        except FileNotFoundError:
            return
        except OSError as error:
            self.faults.append(UnreadableRecord(path, (error.strerror or str(error)).lower()))
            return
        with file:
            file.seek(start)
            offset = start
            while (end is None or offset < end) and (line := file.readline(_MOST_BYTES)):
                if line.endswith(b"\n"):
                    yield from self._decoded(path, line, RecordLocation(path, offset))
                elif len(line) == _MOST_BYTES:
                    self.faults.append(UnreadableRecord(path, "a line is too long for a record"))
                    return
                elif line.strip():
                    self.faults.append(UnreadableRecord(path, "its last line is cut off"))
                offset += len(line)


def read_record(place: RecordLocation) -> tuple[Record, bytes]:
    """Return the whole record and its text. Raises OSError, or ValueError with a message for the user."""
    with _open_record(place.path) as file:
        if place.offset >= 0:
            file.seek(place.offset)
            data = file.readline(_MOST_BYTES)
        else:
            data = file.read(_MOST_BYTES)
    entry = _decode(data)
    if not isinstance(entry, Entry):
        raise ValueError(entry)
    try:
        return _RECORD.decode(data), data
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not a trace record: {error}") from error


def _open_record(path: str) -> BinaryIO:
    """Open a file that may be a record. A pipe or a device with such a name is refused: reading it may never end."""
    return open(open_regular(path), "rb")


def _decode(data: bytes) -> Entry | str:
    """Return the entry of a record, or why it cannot be read."""
    try:
        version = _VERSION.decode(data).version
    except (ValueError, RecursionError):
        return "it is cut off, or not JSON"
    if type(version) is not int:
        return "it is not a trace record"
    if version > RECORD_VERSION:
        return f"it has version {version}, written by a newer llmproxy; this one reads version {RECORD_VERSION}"
    try:
        return _ENTRY.decode(data)
    except (ValueError, RecursionError) as error:
        return f"it is not a trace record: {error}"


def _read_head(path: str) -> tuple[bytes, bool]:
    """Return the first line as an object of its own, and whether the layout differs and the file must be read whole."""
    descriptor = open_regular(path)
    try:
        head = os.read(descriptor, _HEAD_BYTES)
    finally:
        os.close(descriptor)
    line, newline, _ = head.partition(b"\n")
    if not newline or not line.endswith(b","):
        return head, True
    return line[:-1] + b"}", False


def _started(each: FoundEntry) -> str:
    return each.entry.started


def _changed_ns(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return -1


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
        with _open_record(path) as file:
            file.seek(start)
            return file.read(min(_PREFIX_BYTES, end - start))
    except OSError:
        return b""


def _end_of(path: str, prefix: bytes) -> int:
    """Return the offset after the last line that begins with `prefix`; 0 without one."""
    offset = end = 0
    try:
        with _open_record(path) as file:
            while line := file.readline(_MOST_BYTES):
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
        with _open_record(path) as file:
            start = after = file.seek(0, os.SEEK_END) if end is None else end
            while start > 0:
                if after - start > _MOST_BYTES:
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
