"""Find public classes, functions, types and constants of one name in two modules. Part of scripts/tree.py.

A search for a name must find one thing. Dialects are the exception: each has the same names for the same task, so only
a name twice within one dialect counts, or one in a dialect and outside. Begin reading at `duplicate_names`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

# A name with its reason: both definitions are the same task at two levels.
DELIBERATE = frozenset(
    {
        "summarize",  # derived from a codec, and the overrides of dialects
        "write_error",  # the usual form, and the overrides of dialects
        "write_error_event",  # the same for streams
        "write_limit_headers",  # the same for headers
    }
)
# What belongs to its module by convention.
IN_MANY = frozenset({"log", "DIALECT"})


def duplicate_names(root: Path, package: str) -> list[str]:
    """List the names that two modules of `package` define, a line each."""
    modules: dict[str, list[str]] = {}
    for path in sorted((root / package).rglob("*.py")):
        inside = path.relative_to(root / package)
        for name in _public_names(ast.parse(path.read_text(encoding="utf-8"))):
            modules.setdefault(name, []).append(inside.as_posix())
    return [
        f"{name!r} is defined in {' and '.join(paths)}; give each a name of its own"
        for name, paths in sorted(modules.items())
        if name not in DELIBERATE and _clash(paths)
    ]


def _public_names(module: ast.Module) -> Iterator[str]:
    for node in module.body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names = [name]
            case ast.Assign(targets=targets, value=value) if not _is_type_variable(value):
                names = [target.id for target in targets if isinstance(target, ast.Name)]
            case ast.AnnAssign(target=ast.Name(id=name)):
                names = [name]
            case _:
                names = []
        yield from (name for name in names if not name.startswith("_") and name not in IN_MANY)


def _is_type_variable(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "TypeVar"


def _clash(paths: list[str]) -> bool:
    """Return whether two of the paths are in one dialect, or one of two is outside the dialects."""
    dialects = [parts[1] if parts[0] == "dialects" and len(parts) == 3 else "" for parts in map(_parts, paths)]
    return len(dialects) > 1 and ("" in dialects or len(set(dialects)) < len(dialects))


def _parts(path: str) -> tuple[str, ...]:
    return Path(path).parts
