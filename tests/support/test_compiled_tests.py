from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support import compiled_tests
from tests.support.compiled_tests import import_backwards, test_modules


def test_the_modules_are_those_below_a_folder() -> None:
    found = test_modules(["tests/support"])
    assert "tests.support.test_compiled_tests" in found and found == sorted(found)
    assert test_modules(["tests/support/test_provider.py", "tests/none", "/"]) == []


def test_they_are_imported_from_the_last_to_the_first_and_what_is_broken_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "backwards"
    folder.mkdir()
    for name, text in (("a", ""), ("b", "import nothing_of_the_kind"), ("c", "import pytest; pytest.skip('no')")):
        (folder / f"test_{name}.py").write_text(f"import sys; sys.imported.append('{name}')\n{text}\n")
    imported: list[str] = []
    monkeypatch.setattr(sys, "imported", imported, raising=False)
    monkeypatch.setattr(compiled_tests, "_ROOT", tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    import_backwards(["backwards"])
    assert imported == ["c", "b", "a"]
