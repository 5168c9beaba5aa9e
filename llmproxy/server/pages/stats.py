"""The page `/stats`: reads the query; `metrics/stats.py` makes the content."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from urllib.parse import parse_qsl

from llmproxy.errors import BadRequest
from llmproxy.metrics.counters import Metrics
from llmproxy.metrics.stats import GROUPS, RunningExchange, Snapshot
from llmproxy.wire.query import check_query
from llmproxy.wire.timestamp import format_timestamp


async def stats_page(
    metrics: Metrics,
    running: Iterable[RunningExchange],
    *,
    version: str,
    pid: int,
    started_s: float,
    providers: Sequence[str],
    by: Sequence[str],
) -> dict[str, object]:
    """Return the page's content. `started_s` is `time.monotonic()` at the start, `by` what `read_groups` returns."""
    snapshot = Snapshot.of(metrics, running, started_s=started_s, providers=providers, by=by)
    content = await asyncio.to_thread(snapshot.as_json)
    uptime_s = time.monotonic() - started_s
    return {
        "version": version,
        "pid": pid,
        "started": format_timestamp(time.time() - uptime_s),
        "uptime_seconds": round(uptime_s, 3),
        **content,
    }


def read_groups(query: str | None) -> list[str]:
    """Return what to group by: `by=client`, `by=session`, both separated by a comma, or as two parameters.

    Raises BadRequest for an unknown group.
    """
    values = parse_qsl(query or "", keep_blank_values=True)
    check_query(dict(values), ("by",))
    groups = [each.strip() for _, value in values for each in value.split(",")]
    for group in groups:
        if group not in GROUPS:
            raise BadRequest(f"Unknown group {group[:50]!r}. Use by={' or by='.join(GROUPS)}", param="by")
    return [group for group in GROUPS if group in groups]
