"""The id of the request that is served now, for whoever logs something about it.

The server sets it; tasks and threads that an exchange starts inherit it. `console/log_lines.py` adds it to messages.
"""

from __future__ import annotations

from contextvars import ContextVar

current_request_id: ContextVar[str | None] = ContextVar("current_request_id", default=None)
"""The `x-request-id` of the answer; None outside of exchanges."""
