from __future__ import annotations

from pathlib import Path

import pytest

from scripts.import_cycles import import_cycle, sibling_imports


def _write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_files_that_import_in_one_direction_are_fine(tmp_path: Path) -> None:
    _write(tmp_path, p__a="from p import b\nimport os\n", p__b="from p.q.c import x\n", p__q__c="x = 1\n")
    assert import_cycle(tmp_path, "p") == []


@pytest.mark.parametrize(
    "back",
    [
        "import p.a\n",
        "from p import a\n",
        "from p.a import x\n",
        "if TYPE_CHECKING:\n    from p.a import x\n",
        "def f():\n    import p.a\n",
    ],
)
def test_any_import_closes_a_circle(tmp_path: Path, back: str) -> None:
    _write(tmp_path, p__a="from p.b import y\n", p__b="from p.c import z\n", p__c=back)
    circle = import_cycle(tmp_path, "p")
    assert circle[0] == circle[-1] and sorted(circle[1:]) == ["p.a", "p.b", "p.c"]


def test_the_package_itself_is_left_out(tmp_path: Path) -> None:
    _write(tmp_path, p__a="import p\n")
    (tmp_path / "p" / "__init__.py").write_text("from p.a import x\n")
    assert import_cycle(tmp_path, "p") == []


def test_llmproxy_has_no_circle() -> None:
    assert import_cycle(Path(__file__).parent.parent.parent, "llmproxy") == []


@pytest.mark.parametrize("line", ["import p.b.y\n", "from p.b import y\n", "from p import b\n"])
def test_an_import_of_a_package_beside_its_own_is_reported(tmp_path: Path, line: str) -> None:
    _write(tmp_path, p__b__y="", p__a__x=line, p__shared="import p.a.x\n")
    assert sibling_imports(tmp_path, "p") == ["p/a/x.py: imports p.b, a package beside its own"]


def test_imports_within_a_package_and_of_what_is_shared_are_fine(tmp_path: Path) -> None:
    _write(tmp_path, p__a__z="from p.a import x\n", p__a__x="import p.shared\n", p__shared="")
    assert sibling_imports(tmp_path, "p") == []
