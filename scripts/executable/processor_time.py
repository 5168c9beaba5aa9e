"""Measure the processor time of programs: on a machine that does other things too, the clock says little."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def of_ended_children() -> float | None:
    """Return the processor time of all children that have ended and of theirs, in seconds; None on Windows."""
    if sys.platform == "win32":
        return None
    import resource

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def of_running(pid: int) -> float | None:
    """Return the processor time of a process and of those that it started, in seconds; None where it is not known."""
    if sys.platform == "win32":
        return None
    if sys.platform == "linux":
        return sum(_linux(each) for each in (pid, *descendants(pid)))
    times = subprocess.run(["ps", "-o", "time=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    parts = [float(part) for part in times.strip().replace("-", ":").split(":") if part]
    return sum(part * 60**power for power, part in enumerate(reversed(parts))) if parts else None


def descendants(pid: int) -> list[int]:
    """Return the processes that a process started, and those that they started (Linux)."""
    try:
        children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [each for child in children for each in (child, *descendants(child))]


def _linux(pid: int) -> float:
    if sys.platform == "win32":
        return 0.0
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
