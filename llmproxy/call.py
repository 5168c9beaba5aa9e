"""One call to one target on behalf of an exchange."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One call to one target. Times are seconds since the exchange began; `url` has no credentials."""

    provider: str
    model: str | None
    url: str = ""
    status: int | None = None
    error: str | None = None
    started_s: float = 0.0
    ended_s: float | None = None
