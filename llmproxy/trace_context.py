"""The place of an exchange in a distributed trace: W3C Trace Context (w3.org/TR/trace-context), read and written.

Exchanges have one only where traces are exported or the client sent one. Ids are random hexadecimal text.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceContext:
    """A trace, and the span of an exchange in it. `parent_id` is the client's span, None where it sent none.

    What is not `sampled` has no span: `span_id` is the client's then.
    """

    trace_id: str
    span_id: str
    parent_id: str | None = None
    sampled: bool = True

    def header(self, span_id: str) -> str:
        """Return the value of `traceparent` for what is called within `span_id`."""
        return f"00-{self.trace_id}-{span_id}-{'01' if self.sampled else '00'}"


def new_span_id() -> str:
    """Return the id of a new span."""
    return f"{random.getrandbits(64) or 1:016x}"


def new_trace() -> TraceContext:
    """Return a trace that begins here."""
    return TraceContext(trace_id=f"{random.getrandbits(128) or 1:032x}", span_id=new_span_id())


def continued_trace(traceparent: str) -> TraceContext | None:
    """Return the trace that a client's header names, with a span of ours where it is sampled; None for a header that is
    malformed, which begins no trace (the specification ignores it)."""
    match = _TRACEPARENT.fullmatch(traceparent.strip())
    if match is None or match[1] == "ff" or (match[1] == "00" and match[5]):
        return None
    trace_id, parent_id = match[2], match[3]
    if not trace_id.strip("0") or not parent_id.strip("0"):
        return None
    sampled = bool(int(match[4], 16) & _SAMPLED)
    return TraceContext(
        trace_id=trace_id, span_id=new_span_id() if sampled else parent_id, parent_id=parent_id, sampled=sampled
    )
