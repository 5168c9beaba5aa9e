from __future__ import annotations

import os
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llmproxy.errors import ProxyError
from llmproxy.private_files import (
    check_directory,
    create_private,
    keep_private,
    make_directory,
    open_regular,
    refuse_place,
)
from tests.support.special_files import SPECIAL, make_special
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has neither modes nor pipes in folders")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "record"
    make_special(path, kind)
    ways: list[Callable[[], object]] = [
        lambda: open_regular(str(path)),
        lambda: open_regular(str(path), os.O_RDWR | os.O_APPEND),
    ]
    for way in ways:
        refused = threading.Event()

        def attempt(way: Callable[[], object] = way, refused: threading.Event = refused) -> None:
            with pytest.raises(OSError):
                way()
            refused.set()

        threading.Thread(target=attempt, daemon=True).start()
        assert refused.wait(PATIENCE_S), "it waits"


def test_a_file_and_its_new_directories_are_for_their_owner_alone(tmp_path: Path, open_umask: None) -> None:
    make_directory(str(tmp_path / "new" / "below"))
    path = tmp_path / "new" / "below" / "file"
    create_private(str(path))
    assert [mode_of(each) for each in (path, path.parent, path.parent.parent)] == [0o600, 0o700, 0o700]


def test_a_file_that_exists_is_kept_and_loses_the_rights_of_others(tmp_path: Path, open_umask: None) -> None:
    path = tmp_path / "file"
    path.write_text("content")
    assert mode_of(path) == 0o666
    create_private(str(path))
    keep_private(str(path))
    assert (path.read_text(), mode_of(path)) == ("content", 0o600)
    keep_private(str(tmp_path / "none"))


def test_a_directory_that_exists_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    check_directory(str(tmp_path))
    assert (mode_of(tmp_path), os.listdir(tmp_path)) == (0o755, [])


@pytest.mark.parametrize("name", ["file", "file/below", "loop", "a" * 300, "nul\0", "/proc/none", "/dev/null/x"])
def test_a_place_that_can_never_be_is_refused_with_its_remedy(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    place = str(tmp_path / name)  # an absolute name stays alone
    with pytest.raises(ProxyError, match=r"trace: cannot write to .*: .*; choose another"):
        try:
            check_directory(place)
        except (OSError, ValueError) as error:
            refuse_place("trace", place, error, "choose another")


def test_a_place_without_room_may_work_later() -> None:
    refuse_place("trace", "t", OSError(28, "No space left on device"), "choose another")
