"""What a provider's error says: in an answer of status 400 and more, or in a stream.

Source: docs.anthropic.com/en/api/errors.
"""

from __future__ import annotations

from llmproxy.dialects.reading import error_message, string
from llmproxy.errors import ProxyError
from llmproxy.wire.json import read_value

_OVERLOADED = 529
_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "overloaded_error": 503,
    "timeout_error": 504,
}


def decode_error(status: int, body: bytes) -> ProxyError:
    """The neutral error: an overloaded provider is 503."""
    value = read_value(body)
    error = value.get("error") if isinstance(value, dict) else None
    status = 503 if status == _OVERLOADED else status
    return ProxyError(
        error_message(error) or f"The provider answered with status {status}",
        status=status,
        code=code_of(error) or "upstream_error",
        retryable=status in (408, 429) or status >= 500,
    )


def code_of(error: object) -> str | None:
    """The machine-readable name of an error object: that of its cause, or its type."""
    if not isinstance(error, dict):
        return None
    details = error.get("details")
    cause = string(details.get("error_code")) if isinstance(details, dict) else None
    return cause or string(error.get("type"))


def status_of(error: object) -> int:
    """The status that an answer with this error object would have had; 502 for one of an unknown type."""
    kind = string(error.get("type")) if isinstance(error, dict) else None
    return _STATUSES.get(kind or "", 502)
