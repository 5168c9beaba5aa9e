"""Reads the records of the trace middleware, in whatever formats they are: lists them, follows them, finds one.

Files may be cut off, foreign, or of a newer version; each of these is an `UnreadableRecord`, never an exception. Begin
reading at `TraceReader`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from llmproxy.records.found_records import (
    FormatReader,
    FoundEntry,
    RecordPlace,
    UnreadableRecord,
    read_record,
    started_of,
)
from llmproxy.records.record import Record
from llmproxy.records.sqlite_reader import SqliteReader
from llmproxy.records.trace_files import RecordFileReader
from llmproxy.records.trace_lines import DayFileReader
from llmproxy.system_errors import explain_fault

T = TypeVar("T")


class TraceReader:
    """Records below one directory. `faults` collects those that could not be read."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.faults: list[UnreadableRecord] = []
        self._formats: list[FormatReader] = [
            kind(directory, self.faults) for kind in (RecordFileReader, DayFileReader, SqliteReader)
        ]

    def entries(self) -> Iterator[FoundEntry]:
        """Yield every record, oldest first."""
        return heapq.merge(*(each.entries() for each in self._formats), key=started_of)

    def last(self, count: int) -> list[FoundEntry]:
        """Return the `count` newest records, oldest first. Reads no more files than necessary."""
        return sorted((found for each in self._formats for found in each.last(count)), key=started_of)[-count:]

    def follow(self) -> list[FoundEntry]:
        """Return the records added since the last call or since `skip`, oldest first; at first all of them."""
        return sorted((found for each in self._formats for found in each.follow()), key=started_of)

    def skip(self) -> None:
        """Ignore all present records in later calls of `follow`."""
        for each in self._formats:
            each.skip()

    def find(self, prefix: str) -> list[FoundEntry]:
        """Return the records whose id begins with `prefix`, else those whose request id does; oldest first.

        A record with exactly that id is returned alone.
        """
        entries = sorted((found for each in self._formats for found in each.find(prefix)), key=started_of)
        exact = [each for each in entries if each.entry.id == prefix]
        return exact or entries or [each for each in self.entries() if each.entry.request_id.startswith(prefix)]

    def records(self, entries: Iterable[FoundEntry]) -> Iterator[tuple[Record, bytes]]:
        """Yield the whole records with their text, one by one."""
        return self._readable(entries, read_record)

    def texts(self, entries: Iterable[FoundEntry]) -> Iterator[bytes]:
        """Yield the texts of the whole records, one by one."""
        return self._readable(entries, lambda place: place.read())

    def _readable(self, entries: Iterable[FoundEntry], read: Callable[[RecordPlace], T]) -> Iterator[T]:
        for each in entries:
            try:
                yield read(each.place)
            except (OSError, ValueError) as error:
                self.faults.append(UnreadableRecord(each.place.path, explain_fault(error)))
