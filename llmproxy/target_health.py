"""The health of a target at present: its circuit breaker, its limits, its calls under way, its time to the first token.

A `TargetHealth` belongs to a provider and a model, outlives a reload, and is shared by all routes to them. Everything
here is plain arithmetic on times that callers pass in, `time.monotonic()`. Begin reading at `Breaker`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from llmproxy.dialects.limit_readings import LimitReading

BreakerState = Literal["closed", "open", "half_open"]

MOST_REST_S = 600.0
"""The longest time for which a target at its limit is skipped, whatever its provider says."""

_MOST_READINGS = 16
_DECAY_S = 30.0
_LAST_WEIGHT = 1 / 6
_MOST_FAILURES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSettings:
    """Takes a target out that fails too often, for a while.

    It is taken out after `failures` failed calls within `window_s` seconds, if they are at least `failure_ratio` of all
    its calls there; for `recovery_s` seconds, and twice as long after each probe that fails, up to `max_recovery_s`.
    """

    failures: int = 5
    window_s: float = 60.0
    failure_ratio: float = 0.2
    recovery_s: float = 30.0
    max_recovery_s: float = 600.0


class Breaker:
    """A circuit breaker. Closed: calls are made. Open: none is, until its recovery time is over. Half open: one call,
    the probe, is under way; it closes the breaker, or opens it for longer.

    `on_change` is called after each change between closed and open, `on_decision` when something here opens it, for
    longer too, or closes it. `since_s` is when it was opened last.
    """

    __slots__ = (
        "_calls",
        "_earlier_calls",
        "_failed_s",
        "_window_s",
        "on_change",
        "on_decision",
        "opened",
        "recovery_s",
        "retry_s",
        "settings",
        "since_s",
        "state",
    )

    def __init__(self, settings: BreakerSettings, on_change: Callable[[], None] | None = None) -> None:
        self.settings = settings
        self.on_change = on_change
        self.on_decision: Callable[[], None] | None = None
        self.state: BreakerState = "closed"
        self.opened = 0
        self.since_s = self.retry_s = 0.0
        self.recovery_s = 0.0
        self._failed_s: deque[float] = deque()
        self._window_s = -math.inf
        self._calls = self._earlier_calls = 0

    def admits(self, now_s: float) -> bool:
        """Return whether a call may be made now; `enter` makes it."""
        return self.state == "closed" or (self.state == "open" and now_s >= self.retry_s)

    def enter(self, now_s: float) -> bool:
        """Begin a call, and return whether it may be made. A call that begins ends with one of `succeed`, `fail` and
        `abandon`."""
        if self.state == "closed":
            return True
        if self.state == "open" and now_s >= self.retry_s:
            self.state = "half_open"
            return True
        return False

    def succeed(self, now_s: float, *, probe: bool = False) -> None:
        """Take note of a call that the target answered. `probe` says that it began while the breaker was half open."""
        if probe:
            self._close()
        self._count(now_s)

    def abandon(self, now_s: float, *, probe: bool = False) -> None:
        """Take note of a call that ended before its outcome was known: its client left, or the proxy refused it."""
        if probe:
            self._open(now_s, self.recovery_s)

    def fail(self, now_s: float, *, probe: bool = False) -> None:
        """Take note of a call that failed."""
        settings = self.settings
        self._count(now_s)
        if probe:
            self._open(now_s, min(self.recovery_s * 2, settings.max_recovery_s))
        if self.state != "closed":
            return  # it began before the breaker was opened
        failed_s = self._failed_s
        failed_s.append(now_s)
        while failed_s[0] <= now_s - settings.window_s or len(failed_s) > _MOST_FAILURES:
            failed_s.popleft()
        recent = len(failed_s)
        if recent >= settings.failures and recent >= settings.failure_ratio * self._recent_calls(now_s):
            self._open(now_s, min(settings.recovery_s, settings.max_recovery_s))

    def retry_now(self, now_s: float) -> None:
        """Let the next call be the probe: something says that the target is healthy again."""
        if self.state == "open":
            self.retry_s = min(self.retry_s, now_s)

    def wait(self, now_s: float, seconds: float) -> None:
        """Give up a probe that another process makes, and look again after so long."""
        self.state, self.retry_s = "open", now_s + seconds

    def adopt_open(self, now_s: float, retry_s: float, recovery_s: float) -> None:
        """Be open as elsewhere: the next probe may be made in `retry_s` seconds."""
        if self.state == "half_open":
            return
        newly, self.state = self.state == "closed", "open"
        self.recovery_s, self.retry_s = recovery_s, now_s + retry_s
        if newly:
            self._note_opening(now_s)

    def adopt_closed(self) -> None:
        """Be closed as elsewhere."""
        if self.state == "open":
            self._reset()

    def failures(self, now_s: float) -> int:
        """Return how many calls failed within the window."""
        return sum(each > now_s - self.settings.window_s for each in self._failed_s)

    def _count(self, now_s: float) -> None:
        """Count a call. Calls are counted for this window and the one before it."""
        if now_s >= self._window_s + self.settings.window_s:
            follows = now_s < self._window_s + 2 * self.settings.window_s
            self._earlier_calls = self._calls if follows else 0
            self._window_s, self._calls = now_s, 0
        self._calls += 1

    def _recent_calls(self, now_s: float) -> float:
        """Return about how many calls ended within the last `window_s` seconds."""
        passed = min((now_s - self._window_s) / self.settings.window_s, 1.0)
        return self._calls + self._earlier_calls * (1.0 - passed)

    def _open(self, now_s: float, recovery_s: float) -> None:
        newly = self.state == "closed"
        self.state, self.recovery_s, self.retry_s = "open", recovery_s, now_s + recovery_s
        if newly:
            self._note_opening(now_s)
        if self.on_decision is not None:
            self.on_decision()

    def _note_opening(self, now_s: float) -> None:
        self.opened += 1
        self.since_s = now_s
        if self.on_change is not None:
            self.on_change()

    def _close(self) -> None:
        self._reset()
        if self.on_decision is not None:
            self.on_decision()

    def _reset(self) -> None:
        self.state = "closed"
        self.recovery_s = 0.0
        self._failed_s.clear()
        self._calls = self._earlier_calls = 0
        if self.on_change is not None:
            self.on_change()


class UpstreamLimits:
    """The limits of a target as its provider reports them: the last reading of each kind, and its time.

    The target rests until `rest_until_s`: nothing is left of one of them. `rested` counts how often it began to.
    """

    __slots__ = ("readings", "rest_until_s", "rested")

    def __init__(self) -> None:
        self.rest_until_s = -math.inf
        self.rested = 0
        self.readings: dict[str, tuple[LimitReading, float]] = {}

    def note(self, readings: Sequence[LimitReading], now_s: float) -> None:
        """Take note of what an answer says."""
        for reading in readings:
            if reading.kind in self.readings or len(self.readings) < _MOST_READINGS:
                self.readings[reading.kind] = reading, now_s

    def current(self, now_s: float) -> list[LimitReading]:
        """Return the last readings as they are now: after its reset, all of a limit is there again."""
        current = []
        for reading, read_s in self.readings.values():
            reset_s = None if reading.reset_s is None else max(reading.reset_s - (now_s - read_s), 0.0)
            remaining = reading.limit if reset_s == 0.0 else reading.remaining
            current.append(LimitReading(kind=reading.kind, limit=reading.limit, remaining=remaining, reset_s=reset_s))
        return current

    def rest(self, seconds: float, now_s: float) -> bool:
        """Leave the target alone for so long, and at most MOST_REST_S. Return whether that is longer than before."""
        until_s = now_s + min(seconds, MOST_REST_S)
        if until_s <= self.rest_until_s:
            return False
        if self.rest_until_s <= now_s:
            self.rested += 1
        self.rest_until_s = until_s
        return True


class TargetHealth:
    """The health of one target: `provider` and `model` (None: whatever model a client names there).

    `running` counts its calls under way, streams to their end.
    """

    __slots__ = ("_first_token_s", "breaker", "limits", "model", "provider", "running")

    def __init__(self, provider: str, model: str | None, settings: BreakerSettings) -> None:
        self.provider = provider
        self.model = model
        self.breaker = Breaker(settings)
        self.limits = UpstreamLimits()
        self.running = 0
        self._first_token_s: list[tuple[float, float] | None] = [None, None]

    @property
    def name(self) -> str:
        """Return the short form of the target, as in the configuration."""
        return self.provider if self.model is None else f"{self.provider}/{self.model}"

    def note_first_token(self, took_s: float, now_s: float, *, stream: bool) -> None:
        """Take note of the time to the first token of a stream, or to a whole answer: a mean in which the last one
        weighs a sixth, and more the older the others are."""
        known = self._first_token_s[stream]
        if known is not None:
            mean_s, measured_s = known
            took_s = mean_s + (took_s - mean_s) * min(_LAST_WEIGHT + (now_s - measured_s) / (2 * _DECAY_S), 1.0)
        self._first_token_s[stream] = took_s, now_s

    def first_token_s(self, *, stream: bool) -> float | None:
        """Return the mean time to the first token; None before the first answer."""
        known = self._first_token_s[stream]
        return None if known is None else known[0]

    def expected_s(self, now_s: float, *, stream: bool) -> float:
        """Return the time to the first token that is expected now: an old measurement counts for less and less, so that
        a target that was slow once is tried again."""
        known = self._first_token_s[stream]
        if known is None:
            return 0.0
        mean_s, measured_s = known
        return float(mean_s * 0.5 ** (max(now_s - measured_s, 0.0) / _DECAY_S))
