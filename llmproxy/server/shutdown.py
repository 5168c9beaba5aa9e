"""Ends the process in time, whatever an exchange, a hook, a component that closes or a thread of a user does.

A signal sets a deadline, which a thread of its own keeps: it says what is left and ends the process. Another thread
hears of the signals, as the loop would not while a hook blocks it. Begin reading at `Shutdown`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

log = logging.getLogger(__name__)

GRACE_S = 5.0  # behind the time for exchanges: for last errors to clients, and for closing
AT_ONCE_S = 1.0  # after a second signal
EXIT_CODE = 1
_SAY_S = 1.0  # a console that is stopped must not keep the process
_MARGIN_S = 0.5

HANGUP: int | None
if sys.platform == "win32":
    SIGNALS = (signal.SIGINT, signal.SIGBREAK)
    HANGUP = None
else:
    SIGNALS = (signal.SIGINT, signal.SIGTERM)
    HANGUP = signal.SIGHUP


def _nothing() -> list[str]:
    return []


class Shutdown:
    """Ends the process at the deadline that `end_within` sets, unless `close` is called before.

    `left` is set by who serves: it lists what is still there, in words. It is called in another thread.
    """

    def __init__(self) -> None:
        self.left: Callable[[], list[str]] = _nothing
        self._deadline_s: float | None = None
        self._deadlines: queue.SimpleQueue[float | None] = queue.SimpleQueue()
        threading.Thread(target=self._keep, name="llmproxy shutdown", daemon=True).start()

    def end_within(self, seconds: float) -> None:
        """End the process in so many seconds, or earlier if that was said before."""
        deadline_s = time.monotonic() + seconds
        if self._deadline_s is None or deadline_s < self._deadline_s:
            self._deadline_s = deadline_s
            self._deadlines.put(deadline_s)

    def close(self) -> None:
        """Do not end the process: its owner has other things to do."""
        self._deadlines.put(None)

    def remaining_s(self) -> float:
        """Return the seconds until shortly before the deadline; without one, the usual time for closing."""
        if self._deadline_s is None:
            return GRACE_S
        return max(self._deadline_s - _MARGIN_S - time.monotonic(), 0.1)

    def _keep(self) -> None:
        deadline_s = self._deadlines.get()
        while deadline_s is not None:
            try:
                following_s = self._deadlines.get(timeout=max(deadline_s - time.monotonic(), 0.0))
            except queue.Empty:
                self._end()
            deadline_s = None if following_s is None else min(deadline_s, following_s)

    def _end(self) -> NoReturn:
        with contextlib.suppress(RuntimeError):  # the interpreter ends already and starts no threads
            thread = threading.Thread(target=self._say, daemon=True)
            thread.start()
            thread.join(_SAY_S)
        os._exit(EXIT_CODE)

    def _say(self) -> None:
        try:
            left = self.left()
        except Exception as error:
            left = [f"what is left cannot be found out ({type(error).__name__})"]
        left += [f"the thread {name!r} ({line})" for name, line in _threads()]
        log.error("forced to exit with code %d; still there: %s", EXIT_CODE, "; ".join(left) or "nothing known")
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()


def _threads() -> list[tuple[str, str]]:
    """Return the threads that the interpreter waits for at its end, and where they are."""
    found: list[tuple[str, str]] = []
    frames = sys._current_frames()
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        if frame is None or thread.daemon or thread is threading.main_thread():
            continue
        if frame.f_code.co_name != "_worker" and "_do_shutdown" not in thread.name:  # idle, and the loop's own
            found.append((thread.name, f"{frame.f_code.co_filename}, line {frame.f_lineno}"))
    return found


@contextlib.contextmanager
def stop_signals(
    shutdown: Shutdown, timeout_s: Callable[[], float], cut: Callable[[], None], reload: Callable[[], None]
) -> Iterator[asyncio.Event]:
    """Yield an event that a signal to stop sets; then the process ends `timeout_s` and a little later at the latest.

    A second signal calls `cut` and ends the process at once, a third one immediately. SIGHUP calls `reload`, unless it
    says that the terminal is gone. Outside of the main thread there are no signals.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    has_terminal = _has_terminal()
    count = 0

    def on_signal(number: int) -> None:
        nonlocal count
        if number == HANGUP and not (has_terminal and not _has_terminal()):
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(reload)
            return
        if number == HANGUP and ignored:
            return
        shutdown.end_within((timeout_s() + GRACE_S, AT_ONCE_S, 0.0)[min(count, 2)])
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(cut if count else stop.set)
        count += 1

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = [(number, signal.signal(number, _ignore)) for number in (*SIGNALS, *([HANGUP] if HANGUP else []))]
    ignored = (HANGUP, signal.SIG_IGN) in before  # by nohup
    try:
        with _listen(on_signal):
            yield stop
    finally:
        for number, previous in before:
            signal.signal(number, previous)


def _has_terminal() -> bool:
    """Return whether the process has a terminal that is still there: one that is closed sends SIGHUP too."""
    return any(os.isatty(descriptor) for descriptor in range(3))


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing: `_listen` has it already."""


@contextlib.contextmanager
def _listen(on_signal: Callable[[int], None]) -> Iterator[None]:
    """Call `on_signal` in a thread of its own for each of `SIGNALS`, and for `HANGUP`.

    The main thread may never get to run a handler: the system gives a second signal to any thread, and C code does not
    look. The loop, which listens to all signals in the same way, gets them too.
    """
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    loops = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)

    def listen() -> None:
        with ours:
            while numbers := ours.recv(64):
                if loops >= 0:
                    with contextlib.suppress(OSError):
                        _pass_on(loops, numbers)
                for number in numbers:
                    if number in SIGNALS or number == HANGUP:
                        on_signal(number)

    threading.Thread(target=listen, name="llmproxy signals", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(loops)
        theirs.close()


def _pass_on(descriptor: int, data: bytes) -> None:
    if sys.platform == "win32":
        duplicate = socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM)
        with duplicate:
            duplicate.send(data)
    else:
        os.write(descriptor, data)
