"""Errors of ours as the AWS SDKs expect them: the name of the exception in a header, or in a frame of the stream."""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.converse.tables import ERROR_NAMES
from llmproxy.dialects.dialect import Pairs
from llmproxy.errors import ProxyError
from llmproxy.wire.eventstream import write_exception
from llmproxy.wire.json import write_value

_IN_STREAMS = {429: "throttlingException", 503: "serviceUnavailableException", 529: "serviceUnavailableException"}
_OF_MODEL = (408, 424, 502, 504)
"""Statuses of what went wrong at the model, after which a stream may be repeated."""


def error_headers(error: ProxyError) -> Pairs:
    """Return the header from which the SDKs learn which exception to raise."""
    other = "InternalServerException" if error.status >= 500 else "ValidationException"
    return (("x-amzn-ErrorType", ERROR_NAMES.get(error.status, other)),)


def write_error(error: ProxyError, request_id: str) -> bytes:
    """Write the JSON body of an error."""
    return write_value({"message": error.message})


def write_error_event(error: ProxyError, request_id: str) -> bytes:
    """Write the frame that ends a stream with an error."""
    return error_frame(error.message, error.status)


def error_frame(message: str, status: int) -> bytes:
    """Return the frame that ends a stream with an exception: the five that the service model has for streams."""
    members: dict[str, Any] = {"message": message}
    if status in _OF_MODEL:
        members |= {"originalStatusCode": status, "originalMessage": message}
        return write_exception("modelStreamErrorException", write_value(members))
    other = "internalServerException" if status >= 500 else "validationException"
    return write_exception(_IN_STREAMS.get(status, other), write_value(members))
