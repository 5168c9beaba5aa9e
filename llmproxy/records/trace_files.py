"""Reads trace records that have a file each, `<directory>/<2026-11-21>/<235959.999>-<id>.json`.

Only the first line of a file is read where an `Entry` is enough: 50,000 files take half a second. Begin reading at
`RecordFileReader`.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, BinaryIO, NamedTuple

import msgspec

from llmproxy.private_files import open_regular
from llmproxy.records.entry import RECORD_VERSION, Entry
from llmproxy.records.found_records import FoundEntry, RecordPlace, UnreadableRecord, decode_entry
from llmproxy.system_errors import explain_fault

MOST_BYTES = 256 * 1024 * 1024
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_SUFFIX = ".json"
# The first line of a record rarely needs more.
_HEAD_BYTES = 16 * 1024
_COARSE_NS = 2_000_000_000  # some file systems round times to this


class _First(Entry, kw_only=True):
    """An entry of a version that this program reads."""

    version: Annotated[int, msgspec.Meta(ge=1, le=RECORD_VERSION)] = RECORD_VERSION


_FIRST = msgspec.json.Decoder(_First)


class RecordLocation(NamedTuple):
    """Place of a record: a file, and in files of many lines the offset of its line, else -1."""

    path: str
    offset: int = -1

    def read(self) -> bytes:
        """Return the text of the record. Raises OSError."""
        with open_record(self.path) as file:
            if self.offset < 0:
                return file.read(MOST_BYTES)
            file.seek(self.offset)
            return file.readline(MOST_BYTES)


@dataclass(slots=True)
class _Day:
    """The names in the directory of one day, and when it was changed."""

    names: frozenset[str] = frozenset()
    changed_ns: int = -1


class RecordFileReader:
    """The files below `directory`. A directory is read again only when it changed."""

    def __init__(self, directory: str, faults: list[UnreadableRecord]) -> None:
        self._directory = directory
        self._faults = faults
        self._days: dict[str, _Day] = {}

    def entries(self) -> Iterator[FoundEntry]:
        for day in days_in(self._directory):
            for name in self._names(day):
                yield from self._read(day, name)

    def last(self, count: int) -> list[FoundEntry]:
        entries: list[FoundEntry] = []
        for day in reversed(days_in(self._directory)):
            for name in reversed(self._names(day)):
                if len(entries) >= count:
                    break
                entries += self._read(day, name)
        return entries[::-1]

    def follow(self) -> list[FoundEntry]:
        self._days = {day: self._days.get(day) or _Day() for day in days_in(self._directory)}
        return [each for day, state in self._days.items() for each in self._new_of_day(day, state)]

    def skip(self) -> None:
        self._days = {day: _Day(frozenset(self._names(day))) for day in days_in(self._directory)}

    def find(self, prefix: str) -> list[FoundEntry]:
        found = ((day, name) for day in days_in(self._directory) for name in self._names(day))
        return [
            each for day, name in found if name.partition("-")[2].startswith(prefix) for each in self._read(day, name)
        ]

    def _new_of_day(self, day: str, state: _Day) -> list[FoundEntry]:
        changed_ns = _changed_ns(os.path.join(self._directory, day))
        if changed_ns == state.changed_ns:
            return []
        names = frozenset(self._names(day))
        entries = [each for name in sorted(names - state.names) for each in self._read(day, name)]
        state.names = names
        # Times of directories are coarse: one that changed just now may change again with the same time.
        state.changed_ns = changed_ns if abs(time.time_ns() - changed_ns) > _COARSE_NS else -1
        return entries

    def _names(self, day: str) -> list[str]:
        names = _listed(os.path.join(self._directory, day))
        return sorted(name for name in names if name.endswith(_SUFFIX) and not name.startswith("."))

    def _read(self, day: str, name: str) -> Sequence[FoundEntry]:
        """Return the record in one file; nothing, and a fault, when it cannot be read."""
        path = os.path.join(self._directory, day, name)
        try:
            head, whole = _read_head(path)
            if not whole:
                try:
                    return (FoundEntry(_FIRST.decode(head), RecordLocation(path)),)
                except (ValueError, RecursionError):
                    pass  # of another version, or not a record: the whole file shows which
            return found_in(RecordLocation(path).read(), RecordLocation(path), self._faults)
        except FileNotFoundError:  # removed meanwhile
            return ()
        except OSError as error:
            self._faults.append(UnreadableRecord(path, explain_fault(error)))
            return ()


def found_in(data: bytes, place: RecordPlace, faults: list[UnreadableRecord]) -> Sequence[FoundEntry]:
    """Return the entry of the record `data` at `place`; nothing, and a fault, when it cannot be read."""
    entry = decode_entry(data)
    if isinstance(entry, Entry):
        return (FoundEntry(entry, place),)
    faults.append(UnreadableRecord(place.path, entry))
    return ()


def days_in(directory: str, suffix: str = "") -> list[str]:
    """Return the days that have a name in `directory`, with this suffix, oldest first."""
    names = (name.removesuffix(suffix) for name in _listed(directory) if name.endswith(suffix))
    return sorted(name for name in names if _DAY.fullmatch(name))


def open_record(path: str) -> BinaryIO:
    """Open a file that may be a record. A pipe or a device with such a name is refused: reading it may never end."""
    return open(open_regular(path), "rb")


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


def _listed(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _changed_ns(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return -1
