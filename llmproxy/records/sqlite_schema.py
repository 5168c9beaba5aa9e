"""The tables of `traces.sqlite`, version 1, and how a record is put together from them.

A record has a row in `records` with its Entry as JSON, and one in `contents` with the rest of its text; the body of its
request may be missing there. That is a list of pieces, which other records share. Texts are TEXT, or a BLOB where
compressing made them shorter. Begin reading at `read_record_text`.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Iterator

import msgspec

DATABASE = "traces.sqlite"
VERSION = 1
TRACE_APPLICATION = 0x6C6C6D74  # "llmt", the application_id

TRACE_TABLES = (
    # The order of `number` is that of writing; numbers are never given again.
    "CREATE TABLE records (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, started TEXT NOT NULL,"
    " head TEXT NOT NULL)",
    "CREATE INDEX records_started ON records (started)",
    # `pieces` is [first, count, first, count ...]: runs of numbers; they belong at the offset `body_at` of `rest`.
    "CREATE TABLE contents (number INTEGER PRIMARY KEY, pieces TEXT, body_at INTEGER NOT NULL, rest NOT NULL)",
    "CREATE TABLE pieces (number INTEGER PRIMARY KEY AUTOINCREMENT, hash BLOB NOT NULL UNIQUE, data NOT NULL)",
    # How often pieces were removed: what a writer knows of them is outdated then.
    "CREATE TABLE removals (count INTEGER NOT NULL)",
    "INSERT INTO removals VALUES (0)",
)

_MOST_BYTES = 256 * 1024 * 1024
_COMPRESSED_BYTES = 400  # shorter texts hardly become shorter
_RUNS = msgspec.json.Decoder(list[int])


def runs_of(numbers: Iterable[int]) -> list[int]:
    """Return `numbers` as runs: the first one and the count of each."""
    runs: list[int] = []
    following = -1
    for number in numbers:
        if number == following:
            runs[-1] += 1
        else:
            runs += (number, 1)
        following = number + 1
    return runs


def write_runs(numbers: Iterable[int]) -> str:
    """Return the runs of `numbers` as a row holds them."""
    return msgspec.json.encode(runs_of(numbers)).decode()


def pairs_of(runs: str | None) -> Iterator[tuple[int, int]]:
    """Yield the runs of a row, each as the first number and the count. Raises ValueError."""
    if runs is not None:
        numbers = iter(_RUNS.decode(runs))
        yield from zip(numbers, numbers, strict=True)


def compress_text(data: bytes) -> str | bytes:
    """Return the form in which a text is stored: as it is, or compressed where that makes it shorter."""
    if len(data) >= _COMPRESSED_BYTES:
        compressed = zlib.compress(data, 1)
        if len(compressed) < len(data):
            return compressed
    return data.decode()


def read_record_text(connection: sqlite3.Connection, number: int) -> bytes:
    """Return the text of a record. Raises ValueError with a message for the user, or sqlite3.Error."""
    row = connection.execute(
        "SELECT head, pieces, body_at, rest FROM records JOIN contents USING (number) WHERE number = ?", (number,)
    ).fetchone()
    if row is None:
        raise ValueError("it was removed meanwhile")
    try:
        head, runs, body_at, rest = row
        rest = _plain(rest)
        pieces = [_plain(data) for pair in pairs_of(runs) for data in _pieces(connection, *pair)]
        return b"".join((head[:-1].encode(), rest[:body_at], *pieces, rest[body_at:]))
    except (TypeError, AttributeError, zlib.error, msgspec.DecodeError, OverflowError) as error:
        raise ValueError(f"it is not a trace record: {error}") from error


def _pieces(connection: sqlite3.Connection, first: int, count: int) -> list[str | bytes]:
    query = "SELECT data FROM pieces WHERE number BETWEEN ? AND ? ORDER BY number"
    found = [data for (data,) in connection.execute(query, (first, first + count - 1))]
    if len(found) != count:
        raise ValueError("a piece of its body is missing")
    return found


def _plain(data: str | bytes) -> bytes:
    return data.encode() if isinstance(data, str) else _decompressed(data)


def _decompressed(data: bytes) -> bytes:
    decompressor = zlib.decompressobj()
    text = decompressor.decompress(data, _MOST_BYTES)
    if not decompressor.eof:
        raise ValueError("it is cut off, or too long")
    return text
