"""Errors of ours as clients of messages expect them.

Source: docs.anthropic.com/en/api/errors.
"""

from __future__ import annotations

from llmproxy.errors import ProxyError
from llmproxy.wire.json import write_value
from llmproxy.wire.sse import write_frame

_ERROR_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def error_type(status: int) -> str:
    """Return the type of an error of `status`."""
    return _ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")


def write_error(error: ProxyError, request_id: str) -> bytes:
    """Write the JSON of an error, for an answer or an event."""
    described = {"type": error_type(error.status), "message": error.message}
    return write_value({"type": "error", "error": described, "request_id": request_id})


def write_error_event(error: ProxyError, request_id: str) -> bytes:
    """Write the frame that ends a stream with an error."""
    return write_frame(write_error(error, request_id), "error")
