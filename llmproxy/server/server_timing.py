"""Write the header `server-timing`: where the time went until the head of an answer.

Browsers, curl and APM agents read it (W3C Server Timing). Durations are in milliseconds.
"""

from __future__ import annotations

from llmproxy.exchange import Exchange


def server_timing(exchange: Exchange, now_s: float) -> str:
    """Return `queue` (from the request to the first call to a provider, without reading the body), `translate`,
    `upstream` (waiting for providers) and `total` up to `now_s`, a value of `time.monotonic()`.
    """
    started_s, calls = exchange.started_s, exchange.calls
    total_ms = (now_s - started_s) * 1000
    if not calls:
        return f"total;dur={total_ms:.2f}"
    received_s = exchange.received_s or started_s
    queue_s = max(calls[0].started_s - (received_s - started_s), 0.0)
    translate_s = calls[0].translate_s if len(calls) == 1 else sum(call.translate_s for call in calls)
    # An f-string takes 0.3 µs more for the same.
    return "queue;dur=%.2f, translate;dur=%.2f, upstream;dur=%.2f, total;dur=%.2f" % (  # noqa: UP031
        queue_s * 1000,
        translate_s * 1000,
        exchange.upstream_s * 1000,
        total_ms,
    )
