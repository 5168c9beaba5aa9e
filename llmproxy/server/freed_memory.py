"""Give memory back to the system after a burst.

The C library keeps what is freed between blocks in use, and Python's collector looks at old objects rarely, so that a
process that held much for a second would seem to need it for ever. Nothing here frees what is in use. Begin reading at
`limit_heap` and `FreedMemory`.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc

DELAY_S = 1.0
INTERVAL_S = 10.0

# From malloc.h of glibc: M_MMAP_THRESHOLD, M_TRIM_THRESHOLD and M_ARENA_MAX.
_OPTIONS = ((-3, 256 * 1024), (-1, 4 * 1024 * 1024), (-8, 2))


class FreedMemory:
    """Returns freed memory some time after `expect` was called: a second later, and at most every ten seconds.

    Created inside the running loop.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._next_s = 0.0

    def expect(self) -> None:
        """Note that a lot of memory was just freed."""
        if self._timer is None:
            at_s = max(self._loop.time() + DELAY_S, self._next_s)
            self._timer = self._loop.call_at(at_s, self._return)

    def close(self) -> None:
        """Return nothing any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _return(self) -> None:
        self._timer = None
        self._next_s = self._loop.time() + INTERVAL_S
        gc.collect()
        self._loop.run_in_executor(None, trim)


def limit_heap() -> bool:
    """Make the C library give large blocks back as soon as they are freed; False where it cannot. Called at start.

    By itself it takes more and more of them from its heaps, of which every thread has one of its own.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return all([bool(set_option(option, value)) for option, value in _OPTIONS])


def trim() -> bool:
    """Make the C library return what is free; False where it cannot (only glibc can). Takes milliseconds."""
    try:
        trim_heap = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # musl and macOS have none, Windows no library without a name
        return False
    trim_heap(0)
    return True
