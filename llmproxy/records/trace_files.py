"""Reads the records that the trace middleware writes: lists them, follows them, finds one by the beginning of its id.

Only the first line of a file is read where an `Entry` is enough: 50,000 files take half a second. Files may be cut off,
foreign, or written by a newer version; each such file is a `Fault`, never an exception. Begin reading at `Traces`.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import msgspec

from llmproxy.records.entry import VERSION, Entry
from llmproxy.records.record import Record

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_SUFFIX, _LINES = ".json", ".jsonl"
# The first line of a record rarely needs more.
_HEAD_BYTES = 16 * 1024
_MOST_BYTES = 256 * 1024 * 1024
_BLOCK_BYTES = 64 * 1024
_TELLING_BYTES = 200  # ids stand at the beginning
_COARSE_NS = 2_000_000_000  # what some file systems round times to
_ENTRY = msgspec.json.Decoder(Entry)


class _First(Entry, kw_only=True):
    """An entry of the version that is known here."""

    version: Annotated[int, msgspec.Meta(ge=1, le=VERSION)] = VERSION


_RECORD = msgspec.json.Decoder(Record)
_FIRST = msgspec.json.Decoder(_First)


class RecordLocation(NamedTuple):
    """Where a record stands: a file, and for files of many lines the offset of its line, else -1."""

    path: str
    offset: int = -1


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """A file, or a line of one, that is no record that can be read here."""

    path: str
    why: str


class _Version(msgspec.Struct):
    version: Any = None


_VERSION = msgspec.json.Decoder(_Version)


class FoundEntry(NamedTuple):
    """One record in short."""

    entry: Entry
    place: RecordLocation


@dataclass(slots=True)
class _Day:
    """What is known of one day: names in its directory, and how far its file of lines was read: which file, until
    where, and how the line begins that ends there."""

    names: frozenset[str] = frozenset()
    changed_ns: int = -1
    file: tuple[int, int] | None = None
    offset: int = 0
    last: bytes = b""

    def has_read(self, lines: str, end: int) -> None:
        """The file of `lines` was read up to `end`."""
        self.offset, self.last = end, _last_before(lines, end)


class TraceReader:
    """The records below one directory. `faults` gathers what could not be read."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.faults: list[UnreadableRecord] = []
        self._days: dict[str, _Day] = {}

    def entries(self) -> Iterator[FoundEntry]:
        """Every record, oldest first."""
        for day in self._list_days():
            yield from self._of_day(day)

    def last(self, count: int) -> list[FoundEntry]:
        """The `count` newest records, oldest first. Reads no more files than it must."""
        found: list[FoundEntry] = []
        for day in reversed(self._list_days()):
            if len(found) >= count:
                break
            found = [*self._last_of_day(day, count - len(found)), *found]
        return found

    def follow(self) -> list[FoundEntry]:
        """The records that came since the last call or since `skip`, each call's oldest first; at first all of them.

        A directory is looked into only when it changed.
        """
        found: list[FoundEntry] = []
        days = self._list_days()
        self._days = {day: self._days.get(day) or _Day() for day in days}
        for day, known in self._days.items():
            found += self._new_of_day(day, known)
        return found

    def skip(self) -> None:
        """What is there now is not new to `follow`."""
        self._days = {}
        for day in self._list_days():
            lines = self._lines_path(day)
            known = self._days[day] = _Day(frozenset(self._names(day)), file=_identity(lines))
            known.has_read(lines, _end_of_lines(lines))

    def find(self, beginning: str) -> list[FoundEntry]:
        """The records whose id begins so, or, where none does, whose request id is that; oldest first.

        One whose id is that and no longer is the only one.
        """
        found: list[FoundEntry] = []
        for day in self._list_days():
            for name in self._names(day):
                if name.partition("-")[2].startswith(beginning):
                    found += self._read(os.path.join(self.directory, day, name))
            lines = self._lines_path(day)
            found += [each for each in self._of_lines(lines) if each.entry.id.startswith(beginning)]
        exact = [each for each in found if each.entry.id == beginning]
        return exact or found or [each for each in self.entries() if each.entry.request_id == beginning]

    def records(self, found: Iterable[FoundEntry]) -> Iterator[tuple[Record, bytes]]:
        """The whole records, and their text, one after the other."""
        for each in found:
            try:
                yield read_record(each.place)
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
                self.faults.append(UnreadableRecord(each.place.path, reason.lower()))

    def _of_day(self, day: str) -> list[FoundEntry]:
        found = [each for name in self._names(day) for each in self._read(os.path.join(self.directory, day, name))]
        lines = list(self._of_lines(self._lines_path(day)))
        return sorted([*found, *lines], key=_started) if found and lines else found or lines

    def _last_of_day(self, day: str, count: int) -> list[FoundEntry]:
        lines = self._lines_path(day)
        appended = list(self._of_lines(lines, _start_of_last(lines, count)))
        found: list[FoundEntry] = []
        for name in reversed(self._names(day)):
            if len(found) >= count:
                break
            found += self._read(os.path.join(self.directory, day, name))
        return sorted([*appended, *found], key=_started)[-count:]

    def _new_of_day(self, day: str, known: _Day) -> list[FoundEntry]:
        found: list[FoundEntry] = []
        path = os.path.join(self.directory, day)
        changed_ns = _changed_ns(path)
        if changed_ns != known.changed_ns:
            names = frozenset(self._names(day))
            for name in sorted(names - known.names):
                found += self._read(os.path.join(path, name))
            known.names = names
            # Times of directories are coarse: one that changed just now may change again and show the same time.
            known.changed_ns = changed_ns if abs(time.time_ns() - changed_ns) > _COARSE_NS else -1
        return found + self._new_lines(self._lines_path(day), known)

    def _new_lines(self, lines: str, known: _Day) -> list[FoundEntry]:
        before, known.file = known.file, _identity(lines)
        end = _end_of_lines(lines)
        if before != known.file and known.last:  # put in the place of another, such as by retention: its last lines
            known.offset = _end_of(lines, known.last)
        elif end < known.offset:  # somebody began it anew
            known.offset = 0
        if end <= known.offset:
            return []
        found = list(self._of_lines(lines, known.offset, end))
        known.has_read(lines, end)
        return found

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
        """The record in one file; nothing, and a fault, when there is none."""
        try:
            head, whole = _read_head(path)
        except OSError as error:
            if not isinstance(error, FileNotFoundError):  # cleared away meanwhile
                self.faults.append(UnreadableRecord(path, (error.strerror or str(error)).lower()))
            return ()
        if not whole:
            try:
                return (FoundEntry(_FIRST.decode(head), RecordLocation(path)),)
            except (ValueError, RecursionError):
                pass  # of another version, or no record: the whole file says it
        try:
            with open(path, "rb") as file:
                data = file.read(_MOST_BYTES)
        except OSError as error:
            self.faults.append(UnreadableRecord(path, (error.strerror or str(error)).lower()))
            return ()
        return self._decoded(path, data, RecordLocation(path))

    def _decoded(self, path: str, data: bytes, place: RecordLocation) -> Sequence[FoundEntry]:
        found = _decode(data)
        if isinstance(found, Entry):
            return (FoundEntry(found, place),)
        self.faults.append(UnreadableRecord(path, found))
        return ()

    def _of_lines(self, path: str, start: int = 0, end: int | None = None) -> Iterator[FoundEntry]:
        try:
            file = open(path, "rb")  # noqa: SIM115 (closed below)
        except OSError:
            return
        with file:
            file.seek(start)
            offset = start
            for line in file:
                if end is not None and offset >= end:
                    return
                if line.endswith(b"\n"):
                    yield from self._decoded(path, line, RecordLocation(path, offset))
                elif line.strip():
                    self.faults.append(UnreadableRecord(path, "its last line is cut off"))
                offset += len(line)


def read_record(place: RecordLocation) -> tuple[Record, bytes]:
    """The whole record, and its text. Raises OSError, or ValueError with the reason in words."""
    with open(place.path, "rb") as file:
        if place.offset >= 0:
            file.seek(place.offset)
            data = file.readline()
        else:
            data = file.read(_MOST_BYTES)
    found = _decode(data)
    if not isinstance(found, Entry):
        raise ValueError(found)
    try:
        return _RECORD.decode(data), data
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is no trace record: {error}") from error


def _decode(data: bytes) -> Entry | str:
    """The entry of a record, or why it is none."""
    try:
        version = _VERSION.decode(data).version
    except (ValueError, RecursionError):
        return "it is cut off, or no JSON"
    if type(version) is not int:
        return "it is no trace record"
    if version > VERSION:
        return f"it is of version {version}, which a newer llmproxy wrote; this one reads version {VERSION}"
    try:
        return _ENTRY.decode(data)
    except (ValueError, RecursionError) as error:
        return f"it is no trace record: {error}"


def _read_head(path: str) -> tuple[bytes, bool]:
    """The first line as an object of its own. True: it has another layout, and must be read whole."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        head = os.read(descriptor, _HEAD_BYTES)
    finally:
        os.close(descriptor)
    line, newline, _ = head.partition(b"\n")
    if not newline or not line.endswith(b","):
        return head, True
    return line[:-1] + b"}", False


def _started(found: FoundEntry) -> str:
    return found.entry.started


def _changed_ns(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return -1


def _end_of_lines(path: str) -> int:
    """The offset behind the last whole line of a file; 0 when there is none."""
    return _start_of_last(path, 0)


def _identity(path: str) -> tuple[int, int] | None:
    """Which file bears the name now."""
    try:
        state = os.stat(path)
    except OSError:
        return None
    return state.st_dev, state.st_ino


def _last_before(path: str, end: int) -> bytes:
    """How the line begins that ends at the offset `end`."""
    if not end:
        return b""
    start = _start_of_last(path, 1, end)
    try:
        with open(path, "rb") as file:
            file.seek(start)
            return file.read(min(_TELLING_BYTES, end - start))
    except OSError:
        return b""


def _end_of(path: str, beginning: bytes) -> int:
    """The offset behind the last line that begins so; 0 when there is none."""
    offset = found = 0
    try:
        with open(path, "rb") as file:
            for line in file:
                offset += len(line)
                if line.startswith(beginning):
                    found = offset
    except OSError:
        pass
    return found


def _start_of_last(path: str, count: int, end: int | None = None) -> int:
    """The offset at which the last `count` whole lines of a file, or of what stands before `end`, begin, found from
    behind; 0 when it has fewer."""
    try:
        with open(path, "rb") as file:
            start = file.seek(0, os.SEEK_END) if end is None else end
            while start > 0:
                size = min(_BLOCK_BYTES, start)
                start -= size
                file.seek(start)
                block = file.read(size)
                at = len(block)
                while (at := block.rfind(b"\n", 0, at)) >= 0:
                    if count == 0:
                        return start + at + 1
                    count -= 1
    except OSError:
        pass
    return 0
