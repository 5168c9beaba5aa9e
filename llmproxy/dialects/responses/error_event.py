"""Errors of ours in a stream of response events.

Source: platform.openai.com/docs/api-reference/responses-streaming/error.
"""

from __future__ import annotations

from llmproxy.dialects.error_body import error_object
from llmproxy.errors import ProxyError
from llmproxy.wire.json import write_value
from llmproxy.wire.sse import write_frame


def write_error_event(error: ProxyError, request_id: str = "", number: int = 0) -> bytes:
    """Write the event `error`, the stream's `number`th: flat as the type has it, and nested as the official clients
    need it to raise."""
    flat = {"code": error.code, "message": error.message, "param": error.param}
    event = {"type": "error", "sequence_number": number, **flat, "error": error_object(error)}
    return write_frame(write_value(event), "error")
