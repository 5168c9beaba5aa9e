"""Let the processes of a parallel run share the work of compiling the tests, which takes each of them 15 s.

pytest rewrites the assertions of each module that it imports, and keeps the result beside it. One process imports the
modules from the first to the last, as it collects them; the next one begins at the end, so that from the middle on
each finds what the other has made. Begin reading at `import_backwards`.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

_ROOT = Path(__file__).parent.parent.parent


def keep_compiled() -> None:
    """Keep what is compiled, also where the environment says that Python is to keep nothing."""
    sys.dont_write_bytecode = False


def import_backwards(arguments: Iterable[str]) -> None:
    """Import the modules of tests that are below the files and folders in `arguments`, last first. What cannot be
    imported is left to pytest to report."""
    for name in reversed(test_modules(arguments)):
        with contextlib.suppress(Exception, pytest.skip.Exception):
            importlib.import_module(name)


def test_modules(arguments: Iterable[str]) -> list[str]:
    """Return the modules of tests that pytest would import for these arguments, in its order."""
    files: list[Path] = []
    for argument in arguments:
        path = (_ROOT / argument.partition("::")[0]).resolve()
        if path.is_dir() and path.is_relative_to(_ROOT):
            files += sorted(path.rglob("test_*.py"))
    return [".".join(each.relative_to(_ROOT).with_suffix("").parts) for each in files]


test_modules.__test__ = False  # type: ignore[attr-defined]  # pytest takes it for one
