"""How much of a limit is left, as clients of messages expect it.

Source: docs.anthropic.com/en/api/rate-limits (Response headers).
"""

from __future__ import annotations

from collections.abc import Sequence

from llmproxy.dialects.limit_headers import LimitStatus
from llmproxy.wire.timestamp import format_timestamp


def write_limit_headers(statuses: Sequence[LimitStatus], now_s: float) -> tuple[tuple[str, str], ...]:
    """Return the headers for these limits; `now_s` is the wall clock."""
    return tuple(
        pair
        for status in statuses
        for pair in (
            (f"anthropic-ratelimit-{status.kind}-limit", str(status.limit)),
            (f"anthropic-ratelimit-{status.kind}-remaining", str(status.remaining)),
            (f"anthropic-ratelimit-{status.kind}-reset", _time(now_s + status.reset_s)),
        )
    )


def _time(unix_s: float) -> str:
    return f"{format_timestamp(float(-(-unix_s // 1)))[:19]}Z"
