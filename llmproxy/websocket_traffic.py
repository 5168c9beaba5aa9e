"""Describe what went over a WebSocket: counts, how it ended, and what its answers cost. Frames are for whoever asks for
them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Sender = Literal["client", "provider", "proxy"]

FrameSink = Callable[[Sender, bytes], None]
"""Gets each message of text that is whole, and who sent it. Must not block."""


@dataclass(slots=True, kw_only=True)
class WebSocketTraffic:
    """The traffic of one WebSocket, in both directions, without the handshake.

    `close_code` is that of the first Close frame, 1005 for one without a code, None without one; `closed_by` is the
    side that closed first. `cost_usd` adds up what its answers cost, None where that is unknown of one of them. `sinks`
    get the messages.
    """

    client_frames: int = 0
    client_bytes: int = 0
    provider_frames: int = 0
    provider_bytes: int = 0
    close_code: int | None = None
    closed_by: Sender | None = None
    cost_usd: float | None = 0.0
    sinks: list[FrameSink] = field(default_factory=list)
