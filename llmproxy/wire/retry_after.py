"""Read how long a provider asks to wait: the headers `retry-after-ms` and `Retry-After`, in seconds or as a date.

What cannot be read counts as absent, and so does a time that is over: providers send all kinds of values. Begin reading
at `retry_after_s`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

_MILLISECONDS = "retry-after-ms"
_SECONDS = "Retry-After"


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait, more than 0 and finite; None where the headers do not say."""
    if (ms := headers.get(_MILLISECONDS)) is not None and (number := read_seconds(ms)) is not None:
        return number / 1000
    value = headers.get(_SECONDS)
    if value is None:
        return None
    seconds = read_seconds(value)
    return _until(value) if seconds is None else seconds


def read_seconds(value: str) -> float | None:
    """Return a number that is more than 0 and finite; None for anything else."""
    try:
        number = float(value) if len(value) < 40 else math.nan
    except ValueError:
        return None
    return number if 0 < number < math.inf else None


def _until(date: str) -> float | None:
    """Return the seconds until an HTTP date (RFC 9110, 5.6.7)."""
    try:
        left_s = parsedate_to_datetime(date[:60]).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return left_s if left_s > 0 else None
