"""Errors in the shape that OpenAI's APIs share."""

from __future__ import annotations

import json

import pytest

from llmproxy.dialects.error_body import write_error
from llmproxy.errors import BadRequest, ProxyError
from tests.support.sdk_clients import STATUSES


@pytest.mark.parametrize("status", STATUSES)
def test_the_type_follows_the_status(status: int) -> None:
    kind = "server_error" if status >= 500 else "rate_limit_error" if status == 429 else "invalid_request_error"
    error = json.loads(write_error(ProxyError("actual", status=status, code="why")))
    assert error == {"error": {"message": "actual", "type": kind, "param": None, "code": "why"}}


def test_the_member_at_fault_is_named() -> None:
    assert json.loads(write_error(BadRequest("actual", param="model")))["error"]["param"] == "model"


def test_a_message_that_quotes_undecodable_bytes_can_be_written() -> None:
    assert json.loads(write_error(BadRequest("no path /\udcff")))["error"]["message"] == "no path /\udcff"
