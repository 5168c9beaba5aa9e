"""Log a fault that may come with every request: the first time at once, then once a minute while it goes on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

PERIOD_S = 60.0


class FaultLog:
    """Messages about one thing that fails and works again, at most one of each kind a minute.

    A disk that is almost full takes one record and refuses the next: without a limit that is two lines a request.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._clock = clock
        self._failed_s = self._worked_s = float("-inf")
        self._failing = False

    def failed(self, level: int, message: str, *values: object, exc_info: BaseException | None = None) -> None:
        """Log a failure, unless one was logged within the last minute."""
        now_s = self._clock()
        if now_s - self._failed_s >= PERIOD_S:
            self._failed_s, self._failing = now_s, True
            self._logger.log(level, message, *values, exc_info=exc_info)

    def works(self, message: str, *values: object) -> None:
        """Log that it works again, if a failure was logged, and nothing of this kind within the last minute. It is no
        warning: nobody has to do anything."""
        if self._failing and (now_s := self._clock()) - self._worked_s >= PERIOD_S:
            self._worked_s, self._failing = now_s, False
            self._logger.info(message, *values)
