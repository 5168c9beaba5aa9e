"""Talk to the service manager that started the process (systemd): ready, reloading, stopping, alive; a passed socket.

The protocol is a few lines in a datagram, see sd_notify(3) and sd_listen_fds(3). Without a service manager nothing
happens. Begin reading at `ServiceManager`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator, MutableMapping

from llmproxy.system_errors import explain_fault

log = logging.getLogger(__name__)

_FIRST_PASSED = 3  # the first descriptor after standard input, output and error
_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class ServiceManager:
    """The service manager named in `environ`, from which its variables are removed: they are not for our children."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        address, interval, pid = (environ.pop(name, "") for name in _VARIABLES)
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        ours = address and interval.isdecimal() and pid in ("", *_process_ids())
        self._interval_s = int(interval) / 1_000_000 / 2 if ours else 0.0

    @property
    def watchdog_s(self) -> float | None:
        """Return after how many seconds of silence the service manager ends this process; None where it does not."""
        return 2 * self._interval_s or None

    def notify(self, *lines: str) -> None:
        """Send lines such as `READY=1`. One that cannot be sent is a warning."""
        if not self._address or sys.platform == "win32":
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            log.warning("the service manager cannot be notified (NOTIFY_SOCKET): %s", explain_fault(error))

    @contextlib.asynccontextmanager
    async def serving(self, address: str) -> AsyncIterator[None]:
        """Say that the server is ready at `address`, then that its event loop is alive, at the end that it stops."""
        self.notify("READY=1", f"STATUS=serving {address}", f"MAINPID={os.getpid()}")
        alive = asyncio.get_running_loop().create_task(self._keep_alive()) if self._interval_s else None
        try:
            yield
        finally:
            self.notify("STOPPING=1", "STATUS=waiting for running requests")
            if alive is not None:
                alive.cancel()
                await asyncio.gather(alive, return_exceptions=True)

    @contextlib.contextmanager
    def reloading(self) -> Iterator[None]:
        """Say that the configuration is reloaded within the block."""
        self.notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            self.notify("READY=1")

    async def _keep_alive(self) -> None:
        while True:
            self.notify("WATCHDOG=1")
            await asyncio.sleep(self._interval_s)


def passed_socket(environ: MutableMapping[str, str]) -> socket.socket | None:
    """Return the listening socket that the service manager has passed to this process; None without one.

    Raises OSError for several, and for one that is not a TCP socket.
    """
    pid, count, _ = (environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"))
    if pid not in _process_ids() or not count.isdecimal() or count == "0":
        return None
    if count != "1":
        raise OSError(f"the service manager has passed {count} sockets; keep one ListenStream= in the socket unit")
    os.set_inheritable(_FIRST_PASSED, False)
    passed = socket.socket(fileno=_FIRST_PASSED)
    if passed.family not in (socket.AF_INET, socket.AF_INET6) or passed.type != socket.SOCK_STREAM:
        raise OSError("the socket that the service manager has passed is not a TCP socket; use ListenStream=3000")
    return passed


def _process_ids() -> tuple[str, ...]:
    """Return the ids by which the service manager knows this process: in a one-file executable that of its loader too,
    which it started and whose child this is.
    """
    own = str(os.getpid())
    return (own, str(os.getppid())) if getattr(sys, "frozen", False) else (own,)
