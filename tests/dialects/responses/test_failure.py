from __future__ import annotations

import pytest

from llmproxy.dialects.responses.failure import decode_error


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (429, b'{"error":{"message":"slow","code":"rate_limit_exceeded"}}', (429, "slow", "rate_limit_exceeded", True)),
        (
            400,
            b'{"error":{"message":"bad","type":"invalid_request_error"}}',
            (400, "bad", "invalid_request_error", False),
        ),
        (529, b'{"error":{"message":"full"}}', (503, "full", "upstream_error", True)),
        (404, b'{"detail":"Not Found"}', (404, "Not Found", "upstream_error", False)),
        (500, b'{"error":"broken"}', (500, "broken", "upstream_error", True)),
        (502, b"<html>", (502, "The provider answered with status 502", "upstream_error", True)),
        (401, b"", (401, "The provider answered with status 401", "upstream_error", False)),
    ],
)
def test_what_a_provider_says_is_kept(status: int, body: bytes, expected: tuple[int, str, str, bool]) -> None:
    error = decode_error(status, body)
    assert (error.status, error.message, error.code, error.retryable) == expected
    assert error.param is None
