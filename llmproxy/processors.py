"""Count the processors that this process may use: fewer than the machine has where a container or `taskset` says so."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_processors(quota_file: Path = _QUOTA) -> int:
    """Return the number of processors, at least 1. `quota_file` is that of the control group (Linux): microseconds of
    CPU time, or `max`, and the period in microseconds."""
    if sys.platform == "win32":
        return 1  # there is one worker only
    count = os.cpu_count() or 1
    if sys.platform == "linux":
        count = len(os.sched_getaffinity(0))
    return max(min(count, _quota(quota_file)), 1)


def _quota(file: Path) -> int:
    """Return the processors that the control group allows, rounded up."""
    try:
        quota, period = file.read_text().split()
        return sys.maxsize if quota == "max" else math.ceil(int(quota) / int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return sys.maxsize
