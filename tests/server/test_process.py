"""What is set for the whole process is seen in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from llmproxy.server.process import (
    FEWEST_FILES,
    YOUNG_OBJECTS,
    check_file_limit,
    file_limit,
    files_needed,
    loop_factory,
)

SHOW = """
import gc, resource
from llmproxy.server.process import prepare_process
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
prepare_process()
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard, gc.get_threshold()[0], gc.get_freeze_count() > 0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_the_limit_of_files_is_raised_and_the_collector_looks_seldom() -> None:
    shown = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["True", str(YOUNG_OBJECTS), "True"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_limit_of_files_that_is_too_low_is_said(caplog: pytest.LogCaptureFixture) -> None:
    import resource

    check_file_limit(1)
    assert not caplog.text or resource.getrlimit(resource.RLIMIT_NOFILE)[0] < FEWEST_FILES
    check_file_limit(1 << 40)
    assert f"allow {2 << 40}" in caplog.text


@pytest.mark.skipif(sys.platform == "win32", reason="there is no uvloop on Windows")
def test_the_event_loop_is_uvloop() -> None:
    factory = loop_factory()
    assert factory is not None
    loop = factory()
    loop.close()
    assert type(loop).__module__.startswith("uvloop")


def test_a_request_needs_two_files() -> None:
    assert files_needed(None) == FEWEST_FILES == files_needed(1)
    assert files_needed(FEWEST_FILES) == 2 * FEWEST_FILES


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_no_limit_of_files_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda kind: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert file_limit() is None
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1024, resource.RLIM_INFINITY))
    assert file_limit() == 1024
