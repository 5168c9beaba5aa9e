"""Describe what is known of the work in whose course a message is logged: its request, and whether another process logs
the
same.

The server sets the id of the request; tasks and threads that an exchange starts inherit it. `console/log_lines.py` adds
it to messages.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from contextvars import ContextVar

current_request_id: ContextVar[str | None] = ContextVar("current_request_id", default=None)
"""The `x-request-id` of the answer; None outside of exchanges."""


class _Repetition:
    """Work that other processes do as well. Tasks that it begins outlive it, so that it says itself when it is over."""

    __slots__ = ("over",)

    def __init__(self) -> None:
        self.over = False


_repetition: ContextVar[_Repetition | None] = ContextVar("repetition", default=None)


@contextlib.contextmanager
def repeated(same_elsewhere: bool) -> Iterator[None]:
    """Leave warnings, and what is less than that, to another process within the block, where it does the same."""
    if not same_elsewhere:
        yield
        return
    repetition = _Repetition()
    token = _repetition.set(repetition)
    try:
        yield
    finally:
        repetition.over = True
        _repetition.reset(token)


def is_repeated(record: logging.LogRecord) -> bool:
    """Return whether another process logs the same."""
    repetition = _repetition.get()
    return repetition is not None and not repetition.over and record.levelno < logging.ERROR
