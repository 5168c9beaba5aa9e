"""Errors of ours as AWS's SDKs expect them from Bedrock: the name of the exception in a header, or in a frame.

Source: botocore's service model of bedrock-runtime. The dialects that its SDKs speak share this.
"""

from __future__ import annotations

from typing import Any

from llmproxy.errors import BUDGET_EXCEEDED, ProxyError
from llmproxy.wire.eventstream import write_exception
from llmproxy.wire.json import write_value

ERROR_NAMES = {
    400: "ValidationException",
    401: "AccessDeniedException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
    504: "ModelTimeoutException",
    529: "ServiceUnavailableException",
}
"""The exceptions by the status; others of 500 and more are `InternalServerException`, below that
`ValidationException`."""
STREAM_ERRORS = {
    "internalServerException": 500,
    "modelStreamErrorException": 424,
    "modelTimeoutException": 408,
    "serviceUnavailableException": 503,
    "throttlingException": 429,
    "validationException": 400,
}
"""The statuses of the exceptions in a stream."""

_IN_STREAMS = {429: "throttlingException", 503: "serviceUnavailableException", 529: "serviceUnavailableException"}
_OF_MODEL = (408, 424, 502, 504)
"""Statuses of what went wrong at the model, after which a stream may be repeated."""


ERROR_STATUSES = {BUDGET_EXCEEDED: 400}
"""The statuses of errors that the SDKs would repeat by their usual one: 429 is throttling, whatever the exception."""
_NAMES_BY_CODE = {BUDGET_EXCEEDED: "ServiceQuotaExceededException"}


def error_headers(error: ProxyError) -> tuple[tuple[str, str], ...]:
    """Return the header from which the SDKs learn which exception to raise."""
    if error.code in _NAMES_BY_CODE:
        return (("x-amzn-ErrorType", _NAMES_BY_CODE[error.code]),)
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


def exception_status(name: str, value: dict[str, Any]) -> int:
    """Return the status of the exception `name` in a stream, whose JSON object is `value`: that of the model where it
    says one."""
    original = value.get("originalStatusCode")
    if type(original) is int and 400 <= original <= 599:
        return original
    return STREAM_ERRORS.get(name[:1].lower() + name[1:], 502)
