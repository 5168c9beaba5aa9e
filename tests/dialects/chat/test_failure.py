"""Errors of chat services."""

from __future__ import annotations

import pytest

from llmproxy.dialects.chat.failure import decode_error


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (b'{"error":{"message":"No","type":"t","param":"x","code":"c"}}', "No", "c"),
        (b'{"error":{"message":"No","type":"t","code":null}}', "No", "t"),
        (b'{"error":"No"}', "No", "upstream_error"),
        (b'{"object":"error","message":"No","type":"BadRequestError","code":400}', "No", "BadRequestError"),
        (b'{"detail":"No"}', "No", "upstream_error"),
        (b'{"detail":[{"loc":["body"],"msg":"No"},{"msg":"Not that"}]}', "No; Not that", "upstream_error"),
        (b"<html>", "The provider answered with status 400", "upstream_error"),
        (b"", "The provider answered with status 400", "upstream_error"),
        (b"[]", "The provider answered with status 400", "upstream_error"),
        (b'{"error":[]}', "The provider answered with status 400", "upstream_error"),
    ],
)
def test_the_message_is_kept_in_whatever_form_it_comes(body: bytes, message: str, code: str) -> None:
    error = decode_error(400, body)
    assert (error.status, error.message, error.code, error.param, error.retryable) == (400, message, code, None, False)


@pytest.mark.parametrize(("status", "neutral"), [(429, 429), (500, 500), (503, 503), (529, 503)])
def test_what_may_succeed_later_is_retryable(status: int, neutral: int) -> None:
    error = decode_error(status, b"")
    assert (error.status, error.retryable) == (neutral, True)
