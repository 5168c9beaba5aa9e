"""The check of the tree's shape."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import tree

CODE = "def run() -> int:\n    return 1\n"


def _write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_file_with_its_mirrored_test_is_fine(tmp_path: Path) -> None:
    _write(tmp_path, llmproxy__wire__sse=CODE, tests__wire__test_sse="")
    assert tree.problems(tmp_path) == []


def test_a_file_without_mirrored_test_is_reported(tmp_path: Path) -> None:
    _write(tmp_path, llmproxy__wire__sse=CODE, tests__test_sse="")
    assert tree.problems(tmp_path) == ["llmproxy/wire/sse.py: has no mirrored test tests/wire/test_sse.py"]


def test_the_test_of_a_package_bears_its_name(tmp_path: Path) -> None:
    (tmp_path / "llmproxy" / "cli").mkdir(parents=True)
    (tmp_path / "llmproxy" / "cli" / "__init__.py").write_text(CODE)
    assert tree.problems(tmp_path) == ["llmproxy/cli/__init__.py: has no mirrored test tests/cli/test_cli.py"]


@pytest.mark.parametrize(
    "source",
    [
        "from llmproxy import errors\n\nNAMES = ['a']\n",
        "class Dialect:\n    def read(self) -> str:\n        '''Read it.'''\n",
        "class Provider:\n    async def answer(self) -> None:\n        raise NotImplementedError('no')\n",
    ],
)
def test_lists_and_interfaces_need_no_test(tmp_path: Path, source: str) -> None:
    _write(tmp_path, llmproxy__base=source)
    assert tree.problems(tmp_path) == []


def test_a_file_of_450_lines_is_the_longest(tmp_path: Path) -> None:
    _write(tmp_path, scripts__a="\n" * 450, scripts__b="\n" * 451)
    assert tree.problems(tmp_path) == [
        "scripts/b.py: has 451 lines, more than 450; move the second idea to its own file"
    ]


@pytest.mark.parametrize("name", ["llmproxy__utils", "llmproxy__helper", "tests__common__x", "llmproxy__types"])
def test_a_name_that_says_nothing_is_reported(tmp_path: Path, name: str) -> None:
    _write(tmp_path, **{name: ""})
    (message,) = tree.problems(tmp_path)
    assert "says nothing" in message
