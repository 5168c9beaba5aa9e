"""Errors of ours in the shape of OpenAI's APIs, which several dialects share.

Source: platform.openai.com/docs/guides/error-codes and what the API answers.
"""

from __future__ import annotations

from llmproxy.errors import ProxyError
from llmproxy.wire.json import write_value
from llmproxy.wire.sse import write_frame


def error_object(error: ProxyError) -> dict[str, object]:
    """Return the object that stands under `error` in an answer or an event."""
    return {"message": error.message, "type": _type(error.status), "param": error.param, "code": error.code}


def write_error(error: ProxyError, request_id: str = "") -> bytes:
    """Write the JSON body of an error."""
    return write_value({"error": error_object(error)})


def write_error_event(error: ProxyError, request_id: str = "") -> bytes:
    """Write the frame that ends a stream with an error."""
    return write_frame(write_error(error))


def _type(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"
