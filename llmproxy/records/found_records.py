"""Describe what readers of trace records find: the entry of a record and its place, or why it cannot be read.

Each format has a reader behind the interface `FormatReader`. Begin reading there, or at `read_record`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import msgspec

from llmproxy.records.entry import RECORD_VERSION, Entry
from llmproxy.records.record import Record

_ENTRY = msgspec.json.Decoder(Entry)
_RECORD = msgspec.json.Decoder(Record)


class RecordPlace(Protocol):
    """The place of a record in the file at `path`."""

    @property
    def path(self) -> str: ...

    def read(self) -> bytes:
        """Return the text of the record. Raises OSError, or ValueError with a message for the user."""


class FoundEntry(NamedTuple):
    """An entry and the place of its record."""

    entry: Entry
    place: RecordPlace


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """A file, or a record in one, that cannot be read."""

    path: str
    why: str


class FormatReader(Protocol):
    """Reads the records of one format below one directory. What cannot be read is added to a list of faults, never
    raised."""

    def entries(self) -> Iterable[FoundEntry]:
        """Yield every record, oldest first."""

    def last(self, count: int) -> list[FoundEntry]:
        """Return the `count` newest records, oldest first. Reads no more than necessary."""

    def follow(self) -> list[FoundEntry]:
        """Return the records added since the last call or since `skip`; at first all of them."""

    def skip(self) -> None:
        """Ignore all present records in later calls of `follow`."""

    def find(self, prefix: str) -> list[FoundEntry]:
        """Return the records whose id begins with `prefix`."""


class _Version(msgspec.Struct):
    version: Any = None


_VERSION = msgspec.json.Decoder(_Version)


def read_record(place: RecordPlace) -> tuple[Record, bytes]:
    """Return the whole record and its text. Raises OSError, or ValueError with a message for the user."""
    data = place.read()
    entry = decode_entry(data)
    if not isinstance(entry, Entry):
        raise ValueError(entry)
    try:
        return _RECORD.decode(data), data
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not a trace record: {error}") from error


def decode_entry(data: bytes) -> Entry | str:
    """Return the entry of a record, or why it cannot be read."""
    try:
        version = _VERSION.decode(data).version
    except (ValueError, RecursionError):
        return "it is cut off, or not JSON"
    if type(version) is not int:
        return "it is not a trace record"
    if version > RECORD_VERSION:
        return newer_version(version, RECORD_VERSION)
    try:
        return _ENTRY.decode(data)
    except (ValueError, RecursionError) as error:
        return f"it is not a trace record: {error}"


def newer_version(version: int, readable: int) -> str:
    """Return why a record or a file of a later version cannot be read."""
    return f"it has version {version}, written by a newer llmproxy; this one reads version {readable}"


def started_of(found: FoundEntry) -> str:
    """Return when the exchange began, the key by which entries are sorted."""
    return found.entry.started
