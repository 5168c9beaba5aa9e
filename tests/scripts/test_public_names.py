"""The check of public names."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.public_names import duplicate_names

CODE = "class Node:\n    def read(self): ...\n\n\ndef parse(): ...\n\n\ndef _own(): ...\n"


def write(root: Path, *names: str) -> None:
    for name in names:
        path = root / "llmproxy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CODE)


def test_a_name_in_two_modules_is_a_problem(tmp_path: Path) -> None:
    write(tmp_path, "wire/sse.py", "stores/disk.py")
    assert duplicate_names(tmp_path, "llmproxy") == [
        "'Node' is defined in stores/disk.py and wire/sse.py; give each a name of its own",
        "'parse' is defined in stores/disk.py and wire/sse.py; give each a name of its own",
    ]


def test_types_and_constants_count_and_type_variables_do_not(tmp_path: Path) -> None:
    for name in ("a.py", "b.py"):
        path = tmp_path / "llmproxy" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("LIMIT = 1\nRow = dict[str, int]\nPLACE: int = 2\n_OWN = 3\nT = TypeVar('T')\nlog = get()\n")
    names = [problem.split()[0] for problem in duplicate_names(tmp_path, "llmproxy")]
    assert names == ["'LIMIT'", "'PLACE'", "'Row'"]


def test_dialects_share_the_names_of_their_tasks(tmp_path: Path) -> None:
    write(tmp_path, "dialects/chat/content.py", "dialects/messages/content.py", "dialects/responses/tools.py")
    assert duplicate_names(tmp_path, "llmproxy") == []


@pytest.mark.parametrize("other", ["dialects/chat/tools.py", "dialects/model.py"])
def test_a_name_twice_in_one_dialect_or_also_outside_is_a_problem(tmp_path: Path, other: str) -> None:
    write(tmp_path, "dialects/chat/content.py", other)
    assert len(duplicate_names(tmp_path, "llmproxy")) == 2


def test_deliberate_names_are_no_problem(tmp_path: Path) -> None:
    for name in ("dialects/derived.py", "dialects/chat/summary.py"):
        path = tmp_path / "llmproxy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("def summarize(): ...\n")
    assert duplicate_names(tmp_path, "llmproxy") == []
