"""What `SqliteConnection` does beyond the stores, whose tests are in test_sqlite_file.py."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from llmproxy.stores.sqlite_connection import SqliteConnection, UnusableFile, free_pages, pragma, writing

SCHEMA = ("CREATE TABLE things (id INTEGER PRIMARY KEY, value BLOB)",)


def put(connection: sqlite3.Connection) -> None:
    with writing(connection):
        connection.execute("INSERT INTO things (value) VALUES (?)", (os.urandom(100_000),))


def test_kinds_of_files_are_told_apart(tmp_path: Path) -> None:
    for application in (5, 6):
        file = SqliteConnection(tmp_path / "x.sqlite", SCHEMA, 1, application=application)
        if application == 5:
            file.do(put)
        else:
            with pytest.raises(UnusableFile, match="another program"):
                file.do(put)
        file.disconnect()


def test_a_file_to_keep_gets_a_name_of_its_own_when_it_is_unreadable(tmp_path: Path) -> None:
    for content in (b"a" * 1000, b"b" * 1000):
        (tmp_path / "x.sqlite").write_bytes(content)
        file = SqliteConnection(tmp_path / "x.sqlite", SCHEMA, 1, keeps=True)
        file.do(put)
        file.disconnect()
    assert sorted(os.listdir(tmp_path)) == ["x.sqlite", "x.sqlite.unreadable", "x.sqlite.unreadable-2"]


def test_a_file_to_keep_of_another_version_is_left_alone(tmp_path: Path) -> None:
    newer = SqliteConnection(tmp_path / "x.sqlite", SCHEMA, 2)
    newer.do(put)
    newer.disconnect()
    file = SqliteConnection(tmp_path / "x.sqlite", SCHEMA, 1, keeps=True)
    with pytest.raises(UnusableFile, match="its version is 2, this llmproxy writes 1"):
        file.do(put)
    assert os.listdir(tmp_path) == ["x.sqlite"]


@pytest.mark.parametrize(("pages", "least"), [(0, 2_000_000), (10, 0)])
def test_the_log_is_written_back_after_some_pages(tmp_path: Path, pages: int, least: int) -> None:
    file = SqliteConnection(tmp_path / "x.sqlite", SCHEMA, 1, checkpoint_pages=pages)
    for _ in range(20):
        file.do(put)
    assert least <= (tmp_path / "x.sqlite-wal").stat().st_size <= least + 500_000
    file.disconnect()


def test_free_pages_are_given_back(tmp_path: Path) -> None:
    file = SqliteConnection(tmp_path / "x.sqlite", SCHEMA, 1)
    file.do(put)
    file.do(lambda connection: connection.execute("DELETE FROM things"))
    assert file.do(lambda connection: pragma(connection, "freelist_count")) > 20
    file.do(lambda connection: free_pages(connection, 5))
    left = file.do(lambda connection: pragma(connection, "freelist_count"))
    file.do(lambda connection: free_pages(connection, 1000))
    assert left > 10 and file.do(lambda connection: pragma(connection, "freelist_count")) == 0
    file.disconnect()
    with closing(sqlite3.connect(tmp_path / "x.sqlite")) as connection:
        assert pragma(connection, "page_count") < 10
