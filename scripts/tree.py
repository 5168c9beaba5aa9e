"""Check the tree: mirrored tests, short files, names with one meaning, no import cycles. Part of scripts/check.

Run from the project's folder: `python -m scripts.tree`. Begin reading at `problems`.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts.import_cycles import import_cycle, sibling_imports
from scripts.public_names import duplicate_names

MAX_LINES = 450
NAMELESS = frozenset({"util", "helper", "common", "misc", "type", "constant", "manager", "handler"})


def problems(root: Path) -> list[str]:
    """List the problems of the tree below `root`, a line each."""
    files = [
        root / "build.py",
        *(path for top in ("llmproxy", "scripts", "tests") for path in _python_files(root / top)),
    ]
    messages = [
        f"{path.relative_to(root).as_posix()}: {complaint}"
        for path in files
        if path.exists()
        for complaint in _complaints(path, root)
    ]
    messages += duplicate_names(root, "llmproxy")
    messages += sibling_imports(root, "llmproxy/dialects")
    circle = import_cycle(root, "llmproxy")
    return [*messages, f"files import each other in a circle: {' -> '.join(circle)}"] if circle else messages


def _python_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def _complaints(path: Path, root: Path) -> Iterator[str]:
    source = path.read_text(encoding="utf-8")
    inside = path.relative_to(root)
    if (lines := source.count("\n")) > MAX_LINES:
        yield f"has {lines} lines, more than {MAX_LINES}; move the second idea to its own file"
    for part in inside.with_suffix("").parts:
        if part.removesuffix("s") in NAMELESS:
            yield f"{part!r} says nothing; name the content"
    if inside.parts[0] == "llmproxy" and _has_behaviour(source):
        test = _mirror(inside)
        if not (root / test).exists():
            yield f"has no mirrored test {test.as_posix()}"


def _mirror(source: Path) -> Path:
    """Return the path of the test of a file of llmproxy; the test of `__init__.py` has the name of the package."""
    name = source.parent.name if source.stem == "__init__" else source.stem.strip("_")
    return Path("tests", *source.parts[1:-1], f"test_{name}.py")


def _has_behaviour(source: str) -> bool:
    """Return whether a function has a body: interfaces, lists and re-exports have none."""
    functions = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return any(not all(_is_empty(statement) for statement in function.body) for function in functions)


def _is_empty(statement: ast.stmt) -> bool:
    """Return whether it is a docstring, `...`, `pass`, or the `raise NotImplementedError` of an interface."""
    match statement:
        case ast.Pass() | ast.Expr(value=ast.Constant()):
            return True
        case ast.Raise(exc=ast.Call(func=ast.Name(id="NotImplementedError"))):
            return True
        case _:
            return False


if __name__ == "__main__":
    sys.exit("\n".join(problems(Path.cwd())) or 0)
