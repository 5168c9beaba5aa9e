from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from llmproxy.records.file_lock import end_last_line, has_name, lock_file, unlock_file

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no such locks")


def test_one_at_a_time_has_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmproxy.records.file_lock._LOCK_S", 0.0)
    with open(tmp_path / "a", "wb") as one, open(tmp_path / "a", "rb") as other:
        lock_file(one.fileno())
        with pytest.raises(OSError, match="another process"):
            lock_file(other.fileno())
        unlock_file(one.fileno())
        lock_file(other.fileno())


def test_closing_the_file_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmproxy.records.file_lock._LOCK_S", 0.0)
    with open(tmp_path / "a", "wb") as one:
        lock_file(one.fileno())
    with open(tmp_path / "a", "rb") as other:
        lock_file(other.fileno())


def test_a_file_bears_its_name_until_another_has_it(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with open(path, "wb") as file:
        assert has_name(file.fileno(), str(path))
        (tmp_path / "b").touch()
        os.replace(tmp_path / "b", path)
        assert not has_name(file.fileno(), str(path))
        path.unlink()
        assert not has_name(file.fileno(), str(path))


@pytest.mark.parametrize(("content", "expected"), [("", ""), ("a\n", "a\n"), ("a\nb", "a\nb\n")])
def test_an_unfinished_last_line_is_ended(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "lines"
    path.write_text(content)
    with path.open("r+b") as file:
        end_last_line(file.fileno())
    assert path.read_text() == expected
