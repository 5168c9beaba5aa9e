"""Counts WebSockets: those that are open, and the traffic of those that are closed."""

from __future__ import annotations

from dataclasses import dataclass

from llmproxy.websocket_traffic import WebSocketTraffic


@dataclass(slots=True, kw_only=True)
class WebSocketCounters:
    """WebSockets: those that are open now, and what went over those that are closed."""

    open: int = 0
    client_frames: int = 0
    client_bytes: int = 0
    provider_frames: int = 0
    provider_bytes: int = 0

    def add(self, traffic: WebSocketTraffic | WebSocketCounters) -> None:
        """Count one that is closed, or those of another process."""
        self.client_frames += traffic.client_frames
        self.client_bytes += traffic.client_bytes
        self.provider_frames += traffic.provider_frames
        self.provider_bytes += traffic.provider_bytes
