"""Errors of ours as clients of messages expect them; `test_messages.py` shows them to the official SDK."""

from __future__ import annotations

import json

import pytest

from llmproxy.dialects.messages.error_body import write_error, write_error_event
from llmproxy.errors import ProxyError


@pytest.mark.parametrize(
    ("status", "type_"),
    [(400, "invalid_request_error"), (404, "not_found_error"), (429, "rate_limit_error"), (500, "api_error")],
)
def test_an_error_has_the_type_of_its_status(status: int, type_: str) -> None:
    error = json.loads(write_error(ProxyError("why", status=status), "req_1"))
    assert error == {"type": "error", "error": {"type": type_, "message": "why"}, "request_id": "req_1"}


def test_the_event_of_an_error_is_named_so() -> None:
    frame = write_error_event(ProxyError("why"), "req_1")
    assert frame.startswith(b"event: error\ndata: {") and frame.endswith(b"}\n\n")
