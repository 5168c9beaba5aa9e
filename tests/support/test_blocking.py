"""The guard that fails what blocks the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import llmproxy
from tests.support import blocking


def _as_llmproxy(source: str) -> Callable[[], None]:
    """Return a function `call` made of `source`, which looks as if it stood in the package."""
    names: dict[str, Callable[[], None]] = {}
    path = Path(llmproxy.__file__).with_name("sample.py")
    exec(compile(f"import time, pathlib\ndef call():\n    {source}\n", str(path), "exec"), names)
    return names["call"]


def _told() -> list[str]:
    message = blocking.found.copy()
    blocking.found.clear()
    return message


async def test_a_sleep_of_the_package_on_the_loop_is_reported_with_its_line() -> None:
    _as_llmproxy("time.sleep(0)")()
    (message,) = _told()
    assert "sample.py:3 in call: time.sleep" in message


async def test_a_file_opened_through_the_standard_library_is_reported() -> None:
    _as_llmproxy("pathlib.Path('.').joinpath('pyproject.toml').read_bytes()")()
    (message,) = _told()
    assert "sample.py:3 in call: open" in message


async def test_what_runs_in_a_thread_is_welcome() -> None:
    await asyncio.to_thread(_as_llmproxy("time.sleep(0)"))
    assert _told() == []


async def test_what_a_test_does_itself_is_welcome() -> None:
    time.sleep(0)  # noqa: ASYNC251 - that is the point
    assert _told() == []


def test_without_a_running_loop_everything_may_block() -> None:
    _as_llmproxy("time.sleep(0)")()
    assert _told() == []
