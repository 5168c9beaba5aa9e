"""The page `/stats`: reads the query; `metrics/stats.py` makes the content."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Sequence
from urllib.parse import parse_qsl

from llmproxy.errors import BadRequest
from llmproxy.exchange import Exchange
from llmproxy.metrics.counters import Metrics
from llmproxy.metrics.stats import GROUPS, Snapshot
from llmproxy.wire.query import check_query
from llmproxy.wire.timestamp import format_timestamp


async def stats_page(
    metrics: Metrics,
    running: Iterable[Exchange],
    *,
    version: str,
    started_s: float,
    providers: Sequence[str],
    query: str | None,
) -> dict[str, object]:
    """Return the page's content. `started_s` is `time.monotonic()` at the start. Raises BadRequest for an unknown
    group.
    """
    by = _groups(query)
    snapshot = Snapshot.of(metrics, running, started_s=started_s, providers=providers, by=by)
    content = await asyncio.to_thread(snapshot.as_json)
    uptime_s = time.monotonic() - started_s
    return {
        "version": version,
        "pid": os.getpid(),
        "started": format_timestamp(time.time() - uptime_s),
        "uptime_seconds": round(uptime_s, 3),
        **content,
    }


def _groups(query: str | None) -> list[str]:
    """Return what to group by: `by=client`, `by=session`, both separated by a comma, or as two parameters."""
    values = parse_qsl(query or "", keep_blank_values=True)
    check_query(dict(values), ("by",))
    groups = [each.strip() for _, value in values for each in value.split(",")]
    for group in groups:
        if group not in GROUPS:
            raise BadRequest(f"Unknown group {group[:50]!r}. Use by={' or by='.join(GROUPS)}.", param="by")
    return [group for group in GROUPS if group in groups]
