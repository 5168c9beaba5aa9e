"""Errors of ours as Google's clients expect them.

Source: google.rpc.Status in JSON (cloud.google.com/apis/design/errors). In a stream the SDK looks for an object that
begins with `error`.
"""

from __future__ import annotations

from llmproxy.dialects.gemini.tables import STATUSES
from llmproxy.errors import ProxyError
from llmproxy.wire.json import write_unicode
from llmproxy.wire.sse import write_frame

_OVERLOADED = 529  # Anthropic's


def error_json(message: str, status: int) -> bytes:
    """Return the JSON of an error, for an answer or a frame. Overloaded is 503 here, as in the status of an answer."""
    status = 503 if status == _OVERLOADED else status
    name = STATUSES.get(status, "INTERNAL" if status >= 500 else "INVALID_ARGUMENT")
    return write_unicode({"error": {"code": status, "message": message, "status": name}})


def write_error(error: ProxyError, request_id: str) -> bytes:
    """Write the JSON body of an error."""
    return error_json(error.message, error.status)


def write_error_event(error: ProxyError, request_id: str) -> bytes:
    """Write the frame that ends a stream with an error."""
    return write_frame(write_error(error, request_id))
