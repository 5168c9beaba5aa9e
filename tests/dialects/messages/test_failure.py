"""Errors of providers that speak messages."""

from __future__ import annotations

import json

import pytest

from llmproxy.dialects.messages import DIALECT
from llmproxy.dialects.messages.failure import code_of, decode_error, status_of
from llmproxy.errors import ProxyError


def body(kind: str, **more: object) -> bytes:
    return json.dumps({"type": "error", "error": {"type": kind, "message": "why", **more}, "request_id": "r"}).encode()


@pytest.mark.parametrize(
    ("status", "kind", "neutral", "retryable"),
    [
        (400, "invalid_request_error", 400, False),
        (401, "authentication_error", 401, False),
        (429, "rate_limit_error", 429, True),
        (500, "api_error", 500, True),
        (503, "api_error", 503, True),
        (529, "overloaded_error", 503, True),
    ],
)
def test_an_error_keeps_its_words_and_its_status(status: int, kind: str, neutral: int, retryable: bool) -> None:
    error = decode_error(status, body(kind))
    assert (error.message, error.status, error.code, error.retryable) == ("why", neutral, kind, retryable)


def test_the_cause_is_told_where_the_provider_names_it() -> None:
    assert (
        decode_error(400, body("invalid_request_error", details={"error_code": "file_expired"})).code == "file_expired"
    )
    assert code_of("x") is None and code_of({"details": []}) is None


@pytest.mark.parametrize("told", [b"", b"<html>", b"[]", b'{"error":5}', b"\xff", b'{"error":{}}'[:9]], ids=repr)
def test_of_other_bodies_the_status_is_told(told: bytes) -> None:
    error = decode_error(529, told)
    assert (error.status, error.code) == (503, "upstream_error")
    assert error.message == "The provider answered with status 503"


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 429, 500, 503, 504])
def test_what_is_written_for_a_status_means_that_status_in_a_stream(status: int) -> None:
    written = json.loads(DIALECT.write_error(ProxyError("why", status=status), "r"))
    assert status_of(written["error"]) == status


def test_an_unknown_type_is_a_bad_gateway() -> None:
    assert status_of({"type": "new"}) == status_of(None) == status_of({"type": []}) == 502
