from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from llmproxy.records.sqlite_schema import TRACE_TABLES, compress_text, pairs_of, read_record_text, runs_of, write_runs


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    made = sqlite3.connect(":memory:")
    for statement in TRACE_TABLES:
        made.execute(statement)
    yield made
    made.close()


def test_numbers_are_kept_as_runs() -> None:
    assert runs_of([]) == []
    assert runs_of([3, 4, 5, 9, 8, 9, 9]) == [3, 3, 9, 1, 8, 2, 9, 1]
    assert [*pairs_of(write_runs([3, 4, 5, 9]))] == [(3, 3), (9, 1)] and [*pairs_of(None)] == []
    with pytest.raises(ValueError, match="shorter"):
        [*pairs_of("[1]")]


def test_texts_are_compressed_where_that_makes_them_shorter() -> None:
    assert compress_text("kurz: ä".encode()) == "kurz: ä"
    compressed = compress_text(b"a" * 1000)
    assert isinstance(compressed, bytes) and len(compressed) < 50


def add(connection: sqlite3.Connection, head: object = '{"a":1}', runs: object = None, rest: object = ",<>}") -> None:
    connection.execute("INSERT INTO records (id, started, head) VALUES ('a', 's', ?)", (head,))
    connection.execute("INSERT INTO contents VALUES (1, ?, 2, ?)", (runs, rest))


def test_a_record_is_put_together_from_its_pieces(connection: sqlite3.Connection) -> None:
    for data in ("ä", compress_text(b"b" * 500), "c"):
        connection.execute("INSERT INTO pieces (hash, data) VALUES (?, ?)", (repr(data).encode(), data))
    add(connection, runs="[2,2,1,1]")
    assert read_record_text(connection, 1) == b'{"a":1,<' + b"b" * 500 + b"c" + "ä".encode() + b">}"


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"runs": "[1,2]"}, "a piece of its body is missing"),
        ({"runs": "[1"}, "not a trace record"),
        ({"runs": "[1]"}, "shorter"),
        ({"runs": f"[{10**30},1]"}, "not a trace record"),
        ({"rest": b"no zlib"}, "not a trace record"),
        ({"rest": compress_text(b"x" * 1000)[:-3]}, "cut off"),
        ({"rest": 5}, "not a trace record"),
        ({"head": b"{}"}, "not a trace record"),
    ],
)
def test_a_damaged_record_says_what_is_wrong(
    connection: sqlite3.Connection, values: dict[str, object], why: str
) -> None:
    add(connection, **values)
    with pytest.raises(ValueError, match=why):
        read_record_text(connection, 1)


def test_a_record_that_was_removed_says_so(connection: sqlite3.Connection) -> None:
    with pytest.raises(ValueError, match="removed"):
        read_record_text(connection, 7)
