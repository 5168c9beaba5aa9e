"""Finds files of llmproxy that import each other in a circle, and dialects that import another one. Part of
scripts.tree.

Every import counts: those in functions and those under TYPE_CHECKING too, which import-linter does not look at.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path


def import_cycle(root: Path, package: str) -> list[str]:
    """Return the names of the modules of one circle below `root / package`, first and last the same; [] for none.

    The package's own `__init__.py` is left out: it offers what is imported only when it is called.
    """
    modules = {_name(path, root): path for path in sorted((root / package).rglob("*.py"))}
    modules.pop(package, None)
    graph = {
        name: {each for each in _imports(path) if each in modules and each != name} for name, path in modules.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])[::-1]
    return []


def sibling_imports(root: Path, folder: str) -> list[str]:
    """Return a line for each import from one package directly below `root / folder` into another one."""
    names = {_name(each, root): each for each in sorted((root / folder).glob("*")) if each.is_dir()}
    return [
        f"{path.relative_to(root).as_posix()}: imports {imported}, a package beside its own"
        for own, package in names.items()
        for path in sorted(package.rglob("*.py"))
        for imported in sorted({".".join(each.split(".")[: own.count(".") + 1]) for each in _imports(path)})
        if imported in names and imported != own
    ]


def _name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path) -> Iterator[str]:
    """Yield every name that may be that of an imported module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
