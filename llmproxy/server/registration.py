"""Register the running server, so that commands find it, and say by which address it is called.

Begin reading at `Registration`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec

from llmproxy import discovery as servers
from llmproxy.middleware.base import Middleware
from llmproxy.wire.text import replace_surrogates
from llmproxy.wire.timestamp import format_timestamp

_UNREGISTER_S = 1.0


class Registration:
    """The entry of this server in the registry. `file` is its configuration, None without one; `url` its address."""

    def __init__(self, *, version: str, file: str | None, url: str, host: str, port: int) -> None:
        self.url = url
        self._path: Path | None = None
        self._server = servers.RunningServer(
            pid=os.getpid(),
            url=url,
            version=version,
            started=format_timestamp(time.time()),
            host=host,
            port=port,
            config=None if file is None else replace_surrogates(os.path.abspath(os.path.expanduser(file))),
        )

    async def write(self, traces: Sequence[str]) -> None:
        """Write the entry, or write it again with other `traces`: the directories of trace middlewares."""
        self._server = msgspec.structs.replace(self._server, traces=list(traces))
        self._path = await asyncio.to_thread(servers.register, self._server)

    @contextlib.asynccontextmanager
    async def kept(self, traces: Sequence[str]) -> AsyncIterator[None]:
        """Be registered within the block."""
        await self.write(traces)
        try:
            yield
        finally:
            with contextlib.suppress(TimeoutError):  # threads of users may keep all of the loop's
                await asyncio.wait_for(asyncio.to_thread(servers.unregister, self._path), _UNREGISTER_S)


def trace_directories(middlewares: Sequence[tuple[str, Middleware]]) -> list[str]:
    """Return the directories of the trace middlewares."""
    directories = [each.describe().get("directory") for type_, each in middlewares if type_ == "trace"]
    return [replace_surrogates(os.path.abspath(each)) for each in directories if isinstance(each, str)]


def announced_host(configured: str, bound: str) -> str:
    """Return the host to announce: one that a client on this machine can call."""
    if bound in ("0.0.0.0", "::"):
        return "127.0.0.1" if bound == "0.0.0.0" else "[::1]"
    if configured == "localhost":
        return configured
    return f"[{bound}]" if ":" in bound else bound
