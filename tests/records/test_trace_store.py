from __future__ import annotations

import json
import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llmproxy.records.file_lock import lock_file, unlock_file
from llmproxy.records.record import WrittenRecord
from llmproxy.records.retention import Retention
from llmproxy.records.trace_store import DayFiles, RecordFiles, TraceStore

STARTED = "2026-11-21T23:59:58.123456Z"
TEXT = b'{"id":"a1",\n"request":{"body":{\r\n "x": 1}},\n"response":{}}\n'


def written(started: str, identifier: str, text: bytes) -> WrittenRecord:
    return WrittenRecord(started=started, id=identifier, head=text)


def stored(kind: type[RecordFiles] | type[DayFiles], directory: Path) -> TraceStore:
    return kind(str(directory), Retention(str(directory), None, None))


def test_a_record_has_a_file_whose_name_reports_its_time(tmp_path: Path) -> None:
    stored(RecordFiles, tmp_path / "new" / "traces").write(written(STARTED, "a1", TEXT))
    [file] = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert file.relative_to(tmp_path).as_posix() == "new/traces/2026-11-21/235958.123-a1.json"
    assert file.read_bytes() == TEXT


@pytest.mark.skipif(sys.platform == "win32", reason="has no such call")
@pytest.mark.parametrize("first", [0, 3, 20, len(TEXT)])
def test_a_record_is_written_whole_however_little_the_system_takes_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    write = os.write
    monkeypatch.setattr(os, "writev", lambda file, parts: write(file, b"".join(parts)[:first]))
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:7]))
    record = WrittenRecord(
        started=STARTED, id="a1", head=TEXT[:9], before=TEXT[9:20], body=memoryview(TEXT)[20:40], after=TEXT[40:]
    )
    stored(RecordFiles, tmp_path).write(record)
    [file] = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert file.read_bytes() == TEXT == record.text


@pytest.mark.skipif(sys.platform == "win32", reason="has other permissions")
@pytest.mark.parametrize("kind", [RecordFiles, DayFiles])
def test_files_are_for_their_owner_alone(tmp_path: Path, kind: type[RecordFiles] | type[DayFiles]) -> None:
    store = stored(kind, tmp_path / "traces")
    store.write(written(STARTED, "a1", TEXT))
    store.flush()
    for path in (tmp_path / "traces").rglob("*"):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077


@pytest.mark.parametrize("kind", [RecordFiles, DayFiles])
def test_a_directory_in_which_nothing_can_be_made_is_an_error_and_leaves_nothing(
    tmp_path: Path, kind: type[RecordFiles] | type[DayFiles]
) -> None:
    (tmp_path / "traces").write_text("a file")
    store = stored(kind, tmp_path / "traces")
    with pytest.raises(OSError, match="traces"):
        store.write(written(STARTED, "a1", TEXT))
        store.flush()
    (tmp_path / "traces").unlink()
    store.write(written(STARTED, "a1", TEXT))
    store.flush()
    assert [path for path in tmp_path.rglob(".*")] == []


def test_a_file_that_cannot_get_its_name_is_removed(tmp_path: Path) -> None:
    (tmp_path / "2026-11-21" / "235958.123-a1.json" / "x").mkdir(parents=True)
    with pytest.raises(OSError, match=r"a1\.json"):
        stored(RecordFiles, tmp_path).write(written(STARTED, "a1", TEXT))
    assert os.listdir(tmp_path / "2026-11-21") == ["235958.123-a1.json"]


def test_records_of_a_day_are_lines(tmp_path: Path) -> None:
    store = stored(DayFiles, tmp_path)
    for _ in range(2):
        store.write(written(STARTED, "a1", TEXT))
        store.flush()
    store.write(written("2026-11-22T00:00:00.000000Z", "a2", TEXT))
    store.write(written(STARTED, "a3", TEXT))
    store.flush()
    lines = (tmp_path / "2026-11-21.jsonl").read_bytes().split(b"\n")
    assert [json.loads(line) for line in lines[:-1]] == [json.loads(TEXT)] * 3
    assert lines[-1] == b""
    assert len((tmp_path / "2026-11-22.jsonl").read_bytes().splitlines()) == 1


def test_what_a_crash_left_of_a_line_gets_an_end(tmp_path: Path) -> None:
    (tmp_path / "2026-11-21.jsonl").write_bytes(b'{"id":"a0"}\n{"id":"a')
    store = stored(DayFiles, tmp_path)
    store.write(written(STARTED, "a1", TEXT))
    store.flush()
    assert (tmp_path / "2026-11-21.jsonl").read_bytes().startswith(b'{"id":"a0"}\n{"id":"a\n{"id":"a1"')


def test_lines_go_to_a_new_file_when_the_old_one_was_moved(tmp_path: Path) -> None:
    store = stored(DayFiles, tmp_path)
    store.write(written(STARTED, "a1", TEXT))
    store.flush()
    (tmp_path / "2026-11-21.jsonl").rename(tmp_path / "moved")
    store.write(written(STARTED, "a2", TEXT))
    store.flush()
    assert (tmp_path / "2026-11-21.jsonl").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="has no locks that end with their process")
def test_lines_wait_while_another_process_shortens_their_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmproxy.records.file_lock._LOCK_S", 0.0)
    store = stored(DayFiles, tmp_path)
    path = tmp_path / "2026-11-21.jsonl"
    path.touch()
    with path.open("rb") as other:
        lock_file(other.fileno())
        store.write(written(STARTED, "a1", TEXT))
        with pytest.raises(OSError, match="another process"):
            store.flush()
        assert path.read_bytes() == b""
    store.write(written(STARTED, "a2", TEXT))
    store.flush()
    assert path.read_bytes().count(b"\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="has no locks that end with their process")
def test_lines_go_to_the_file_that_was_put_in_the_place_of_theirs(tmp_path: Path) -> None:
    store, path = stored(DayFiles, tmp_path), tmp_path / "2026-11-21.jsonl"
    path.write_bytes(b"old\n")
    with path.open("rb") as other, ThreadPoolExecutor() as pool:
        lock_file(other.fileno())
        store.write(written(STARTED, "a1", TEXT))
        flushing = pool.submit(store.flush)
        (tmp_path / "new").write_bytes(b"new\n")
        os.replace(tmp_path / "new", path)
        unlock_file(other.fileno())
        flushing.result()
    assert path.read_bytes().startswith(b"new\n{")
