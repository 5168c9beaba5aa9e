"""A start that fails because of code of a user: one line with the entry in the file and the line of the code."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.program import run

START = """
from llmproxy.middleware.base import Middleware
from llmproxy.providers.completion import CompletionProvider
from llmproxy.settings import Strict
from pydantic import field_validator


class Makes(Middleware):
    def __init__(self, config):
        raise KeyError("no such thing")

    def on_end(self, exchange):
        pass


class Starts(Makes):
    def __init__(self, config):
        pass

    async def start(self):
        raise SystemExit("no licence")


class Opens(Starts):
    def use_stores(self, stores):
        stores.open("nowhere")


class Parrot(CompletionProvider):
    async def start(self):
        raise PermissionError(13, "not yours")

    async def create_completion(self, request):
        return {}


class Checks(Starts):
    class Config(Strict):
        size: int = 1

        @field_validator("size")
        @classmethod
        def _halve(cls, size):
            return 1 / (size - 1)
"""
THREAD = """
import threading
import time

from llmproxy.middleware.base import Middleware


class Thread(Middleware):
    async def start(self):
        threading.Thread(target=time.sleep, args=(600,), name="mine").start()
        raise ValueError("too late")
"""


BROKEN = "def (:\n"
INNER = "import os, sys\nsys.path.insert(0, os.path.dirname(__file__))\nimport broken\n"
STUB = "providers: [{name: s, type: stub}]\nmiddlewares:\n  - "


def _start(directory: Path, config: str, *flags: str) -> subprocess.CompletedProcess[str]:
    for name, text in (("own", START), ("broken", BROKEN), ("inner", INNER), ("exits", "import sys\n\nsys.exit(7)\n")):
        (directory / f"{name}.py").write_text(text)
    (directory / "llmproxy.yaml").write_text(config)
    return run("serve", "--port", "0", *flags, cwd=directory)


@pytest.mark.parametrize(
    ("config", "place", "message", "line"),
    [
        (STUB + "{type: './own.py:Makes'}", "3:5: middlewares[0]", "cannot be created: KeyError: 'no such thing'", 10),
        (STUB + "{type: './own.py:Starts'}", "3:5: middlewares[0]", "cannot start: SystemExit: no licence", 21),
        (STUB + "{type: './own.py:Opens'}", "3:5: middlewares[0]", "cannot open its stores: KeyError: 'nowhere'", 26),
        (STUB + "{type: './own.py:Checks'}", "3:5: middlewares[0].config", "Config fails with ZeroDivisionError", 44),
        (STUB + "{type: './broken.py:Tag'}", "3:12: middlewares[0].type", "cannot be imported, line 1: SyntaxError", 1),
        (STUB + "{type: './inner.py:Tag'}", "3:12: middlewares[0].type", "cannot be imported, line 3: SyntaxError", 1),
        (STUB + "{type: './exits.py:Tag'}", "3:12: middlewares[0].type", "cannot be imported, line 3: SystemExit", 3),
        (
            "providers:\n  - {name: p, type: './own.py:Parrot'}",
            "2:5: providers[0]",
            "cannot start: PermissionError",
            31,
        ),
    ],
)
def test_the_message_names_the_entry_and_the_line(
    tmp_path: Path, config: str, place: str, message: str, line: int
) -> None:
    ended = _start(tmp_path, config)
    assert ended.returncode == 1
    [said] = ended.stderr.splitlines()
    assert f"llmproxy.yaml:{place}: " in said and message in said and f"line {line}" in said, said


def test_the_traceback_is_there_at_debug_level(tmp_path: Path) -> None:
    ended = _start(tmp_path, STUB + "{type: './own.py:Starts'}", "--log-level", "debug")
    assert "Traceback" in ended.stderr and ended.stderr.splitlines()[-1].startswith("llmproxy: llmproxy.yaml:3:5: ")


@pytest.mark.long
def test_a_thread_that_was_begun_does_not_keep_a_start_that_failed(tmp_path: Path) -> None:
    (tmp_path / "thread.py").write_text(THREAD)
    ended = _start(tmp_path, STUB + "{type: './thread.py:Thread'}")
    assert ended.returncode == 1 and "too late" in ended.stderr and "the thread 'mine'" in ended.stderr
