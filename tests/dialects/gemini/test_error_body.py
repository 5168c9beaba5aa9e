"""Errors as Google writes them."""

from __future__ import annotations

import json

import pytest
from google.genai.errors import APIError

from llmproxy.dialects.gemini.error_body import write_error, write_error_event
from llmproxy.errors import ProxyError


@pytest.mark.parametrize(
    ("status", "word"),
    [(400, "INVALID_ARGUMENT"), (418, "INVALID_ARGUMENT"), (429, "RESOURCE_EXHAUSTED"), (502, "INTERNAL")],
)
def test_a_status_has_its_word(status: int, word: str) -> None:
    error = ProxyError("It \ud800 failed", status=status)
    read = APIError(status, json.loads(write_error(error, "id")))
    assert (read.code, read.status, read.message) == (status, word, "It \ufffd failed")
    frame = write_error_event(error, "id")
    assert frame.startswith(b'data: {"error":') and frame.endswith(b"\n\n")


def test_overloaded_is_the_status_that_google_has_for_it() -> None:
    read = APIError(503, json.loads(write_error(ProxyError("busy", status=529), "id")))
    assert read.details["error"] == {"code": 503, "message": "busy", "status": "UNAVAILABLE"}
