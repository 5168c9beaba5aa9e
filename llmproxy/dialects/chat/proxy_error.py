"""Errors of the small chat endpoint: what happened, a detail, and the id of the request.

An unknown model is `Model Not Found`; of a fault of the program clients get no detail.
"""

from __future__ import annotations

from http import HTTPStatus

from llmproxy.errors import ProxyError
from llmproxy.wire.json import write_value
from llmproxy.wire.sse import write_frame

MODEL_NOT_FOUND = "model_not_found"
_NOT_FOUND = 404
_FAULT = "internal_error"
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


def write_proxy_error(error: ProxyError, request_id: str) -> bytes:
    """Write the JSON of an error, for an answer or an event."""
    detail = {} if error.code == _FAULT else {"detail": error.message}
    named = {"request_id": request_id} if request_id else {}
    return write_value({"error": _title(error), **detail, **named})


def write_proxy_error_event(error: ProxyError, request_id: str) -> bytes:
    """Write the frame that ends a stream with an error."""
    return write_frame(write_proxy_error(error, request_id), "error")


def _title(error: ProxyError) -> str:
    if error.code == MODEL_NOT_FOUND or error.status == _NOT_FOUND:
        return "Model Not Found"
    return _PHRASES.get(error.status) or ("Bad Request" if error.status < 500 else "Service Unavailable")
