"""Notice that files have changed, by looking: network drives and the volumes of containers send no events.

A part of a runtime, started and closed with it. Begin reading at `FileWatch`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

_INTERVAL_S = 0.5
# Some editors empty a file before they write it, and others write several files: a change is over after so long.
_SETTLING_S = 0.1
_MOST_LOOKS = 20

FileStamp = tuple[int, int, int] | None
"""The stamp of a file, which changes with it; None while it is not there."""


class FileWatch:
    """Calls `changed` after one of `paths` is another file, or has another size or time. It must raise nothing.

    `known` are the stamps of the paths from before they were read; without them only what changes after the start is
    noticed.
    """

    def __init__(
        self,
        paths: Sequence[str],
        changed: Callable[[], Coroutine[Any, Any, None]],
        known: Sequence[FileStamp] | None = None,
        *,
        interval_s: float = _INTERVAL_S,
    ) -> None:
        self._paths = tuple(paths)
        self._changed = changed
        self._known = None if known is None else tuple(known)
        self._interval_s = interval_s
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to watch."""
        known = await self._stamp() if self._known is None else self._known
        self._watching = asyncio.get_running_loop().create_task(self._watch(known))

    async def close(self) -> None:
        """Stop watching."""
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching

    async def _watch(self, known: Sequence[FileStamp]) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            stamp = await self._stamp()
            if stamp != known:
                known = await self._settled(stamp)
                await self._changed()

    async def _settled(self, stamp: Sequence[FileStamp]) -> Sequence[FileStamp]:
        """Wait until the files stay as they are, for two seconds at most."""
        for _ in range(_MOST_LOOKS):
            await asyncio.sleep(min(_SETTLING_S, self._interval_s))
            before, stamp = stamp, await self._stamp()
            if stamp == before:
                break
        return stamp

    async def _stamp(self) -> Sequence[FileStamp]:
        return await asyncio.to_thread(_stamp, self._paths)


def _stamp(paths: Sequence[str]) -> Sequence[FileStamp]:
    return tuple([file_stamp(path) for path in paths])


def file_stamp(path: str) -> FileStamp:
    """Return what changes with a file; None while it is not there. Blocks."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
