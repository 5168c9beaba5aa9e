"""Prepare the process for serving: its event loop, its limit of open files, its garbage collector and its heap.

What is set here stays set for the whole process. Begin reading at `prepare_process`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
from collections.abc import Callable

from llmproxy.server.freed_memory import limit_heap

log = logging.getLogger(__name__)

FEWEST_FILES = 4096
# The young generation is collected after so many new objects: an exchange makes some twenty that outlive it briefly,
# and the default of 700 costs 7 % of the CPU time for nothing, since they go without the collector.
YOUNG_OBJECTS = 10_000


def prepare_process() -> None:
    """Set the limits of the process. Called once, before the event loop exists."""
    raise_file_limit()
    limit_heap()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)
    gc.enable()


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop where it exists; None, which is asyncio's own loop, on Windows."""
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


def check_file_limit(max_connections: int | None) -> None:
    """Log a warning when too few files may be open: connections fail then."""
    limit, needed = file_limit(), files_needed(max_connections)
    if limit is not None and limit < needed:
        log.warning(
            "only %d files and sockets can be open at once, and a request needs two; allow %d with `ulimit -Hn`, or "
            "LimitNOFILE= of systemd",
            limit,
            needed,
        )


def files_needed(max_connections: int | None) -> int:
    """Return how many files should be able to be open at once."""
    return max(FEWEST_FILES, 2 * (max_connections or 0))


def file_limit() -> int | None:
    """Return how many files can be open at once; None for any number."""
    if sys.platform == "win32":
        return None
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if limit == resource.RLIM_INFINITY else limit


def raise_file_limit() -> None:
    """Let as many sockets be open as the system allows: an exchange needs two, and 1,024 is a usual soft limit."""
    if sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(ValueError, OSError):  # macOS refuses some numbers that it names itself
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
