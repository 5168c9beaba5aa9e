from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llmproxy.middleware.audit import audit_line
from llmproxy.records.audit_file import AuditFile, AuditLine, FSync
from tests.support.exchanges import ended
from tests.support.program import ROOT


def file_of(path: Path, **changes: Any) -> AuditFile:
    settings: dict[str, Any] = {"fsync": "never", "max_size_bytes": None, **changes}
    return AuditFile(str(path), **settings)


def line(number: int) -> tuple[AuditLine, tuple[str, ...]]:
    return audit_line(ended(id=f"{number:024}")), ()


def ids(*paths: Path) -> list[int]:
    return [int(json.loads(text)["id"]) for path in paths for text in path.read_text().splitlines()]


def append(file: AuditFile, *numbers: int) -> None:
    for number in numbers:
        file.write(line(number))
    file.flush()


def test_lines_are_appended_to_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "audit.jsonl"
    for numbers in ((1, 2), (3,)):
        file = file_of(path)
        append(file, *numbers)
        file.close()
    assert ids(path) == [1, 2, 3]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_only_the_owner_can_read_it_after_rotation_too(tmp_path: Path) -> None:
    file = file_of(tmp_path / "audit.jsonl", max_size_bytes=1)
    append(file, 1, 2, 3)
    file.close()
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_an_unfinished_line_is_ended_so_that_no_two_are_merged(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b'{"whole":1}\n{"killed in the mid')
    file = file_of(path)
    append(file, 7)
    file.close()
    first, second, third = path.read_text().splitlines()
    assert (first, second) == ('{"whole":1}', '{"killed in the mid') and json.loads(third)["id"] == "7".zfill(24)


def test_a_full_file_is_put_aside_and_nothing_is_lost(tmp_path: Path) -> None:
    file = file_of(tmp_path / "audit.jsonl", max_size_bytes=2000)
    append(file, *range(20))
    append(file, *range(20, 40))
    file.close()
    old = sorted(tmp_path.glob("audit-*Z.jsonl"))
    assert len(old) > 5
    assert ids(*old, tmp_path / "audit.jsonl") == list(range(40)), "names sort by time"
    assert all(path.stat().st_size <= 2000 for path in tmp_path.iterdir())


def test_a_name_that_is_taken_is_never_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 1_700_000_000_999_999_000)
    file = file_of(tmp_path / "audit.jsonl", max_size_bytes=1)
    append(file, *range(5))
    file.close()
    old = sorted(tmp_path.glob("audit-*"))
    assert old[0].name == "audit-20231114T221320.999999Z.jsonl"
    assert old[1].name == "audit-20231114T221321.000000Z.jsonl"
    assert ids(*old) == [0, 1, 2, 3] and ids(tmp_path / "audit.jsonl") == [4]


def test_a_line_longer_than_a_file_may_be_stands_alone(tmp_path: Path) -> None:
    file = file_of(tmp_path / "audit.jsonl", max_size_bytes=10)
    append(file, 1)
    assert ids(tmp_path / "audit.jsonl") == [1] and len(list(tmp_path.iterdir())) == 1
    file.close()


def test_a_file_that_was_moved_away_is_followed_by_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    file = file_of(path)
    append(file, 1)
    path.rename(tmp_path / "moved.jsonl")
    append(file, 2)
    file.close()
    assert (ids(tmp_path / "moved.jsonl"), ids(path)) == ([1], [2])


def test_what_cannot_be_written_is_kept_and_written_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "place" / "audit.jsonl"
    path.parent.write_text("a file where the directory was")
    file = file_of(path)
    append(file, 1)
    append(file, 2)
    assert file.waiting == 2 and file.fault
    path.parent.unlink()
    append(file)
    assert file.waiting == 0 and file.fault is None
    assert ids(path) == [1, 2]
    file.close()
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"], "each once"


def test_what_is_kept_has_a_bound(tmp_path: Path) -> None:
    (tmp_path / "place").write_text("")
    file = file_of(tmp_path / "place" / "audit.jsonl", kept_bytes=1500)
    file.write(line(1))
    file.flush()
    file.write(line(2))
    with pytest.raises(OSError, match="the queue is full"):
        file.write(line(3))
    (tmp_path / "place").unlink()
    append(file)
    append(file, 4)
    file.close()
    assert ids(tmp_path / "place" / "audit.jsonl") == [1, 2, 4]


def test_lines_left_at_the_end_are_reported(tmp_path: Path) -> None:
    (tmp_path / "place").write_text("")
    file = file_of(tmp_path / "place" / "audit.jsonl")
    append(file, 1, 2)
    with pytest.raises(OSError, match="cannot write 2 lines"):
        file.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_keeps_the_lines() -> None:
    file = file_of(Path("/dev/full"))
    append(file, 1)
    assert file.fault == "no space left on device" and file.waiting == 1
    with pytest.raises(OSError, match="1 lines"):
        file.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_line_of_which_half_fits_is_completed_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    code = f"""
import resource, signal, sys
from pathlib import Path
from tests.records.test_audit_file import append, file_of, ids
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path({str(path)!r})
file = file_of(path)
append(file, 1)
size = path.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size * 2 + 100, resource.RLIM_INFINITY))
append(file, 2, 3, 4)
assert path.stat().st_size == size * 2 + 100, path.stat().st_size
assert file.waiting == 2 and file.fault == "file too large", file.fault
append(file)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
append(file, 5)
file.close()
assert ids(path) == [1, 2, 3, 4, 5]
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})


def test_processes_that_share_a_file_lose_nothing(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from tests.records.test_audit_file import append, file_of
first = int(sys.argv[2])
file = file_of(Path(sys.argv[1]), max_size_bytes=5000)
for number in range(first, first + 300, 3):
    append(file, number, number + 1, number + 2)
file.close()
"""
    path = tmp_path / "audit.jsonl"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(path), str(first)], cwd=ROOT, env=environment)
        for first in (0, 300, 600)
    ]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert sorted(ids(*tmp_path.iterdir())) == list(range(900))


@pytest.mark.parametrize(("fsync", "expected"), [("always", 3), ("interval", 1), ("never", 0)])
def test_the_disk_is_reported_as_often_as_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fsync: FSync, expected: int
) -> None:
    synced: list[bool] = []
    fsync_of_system = os.fsync

    def counting(file: int) -> None:
        synced.append(stat.S_ISREG(os.fstat(file).st_mode))
        fsync_of_system(file)

    monkeypatch.setattr("os.fsync", counting)
    monkeypatch.setattr("time.monotonic", lambda: 50.0)
    file = file_of(tmp_path / "audit.jsonl", fsync=fsync)
    for number in range(3):
        append(file, number)
    append(file)
    assert synced.count(True) == expected
    monkeypatch.setattr("time.monotonic", lambda: 51.0)
    append(file)
    assert synced.count(True) == expected + (fsync == "interval"), "a second later what came since is synced"
    file.close()


def test_secrets_are_masked_wherever_they_stand(tmp_path: Path) -> None:
    file = file_of(tmp_path / "audit.jsonl")
    file.write((audit_line(ended(model="sk-leaked/key")), ("sk-leaked/key",)))
    file.flush()
    file.close()
    assert json.loads((tmp_path / "audit.jsonl").read_text())["model"] == "**********"


@pytest.mark.skipif(sys.platform == "win32", reason="files are not locked there")
def test_a_lock_that_is_never_given_back_does_not_hold_the_writer_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    monkeypatch.setattr("llmproxy.records.file_lock._LOCK_S", 0.0)
    path = tmp_path / "audit.jsonl"
    with path.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        file = file_of(path)
        append(file, 1)
        assert file.fault == "another process holds its lock" and file.waiting == 1
    append(file)
    assert ids(path) == [1]
    file.close()
