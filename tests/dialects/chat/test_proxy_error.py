"""Errors of the small chat endpoint."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmproxy.dialects.chat.proxy_error import write_proxy_error, write_proxy_error_event
from llmproxy.errors import BadRequest, ProxyError


@pytest.mark.parametrize(
    ("error", "body"),
    [
        (ProxyError("Internal Server Error"), {"error": "Internal Server Error"}),
        (ProxyError("The middleware Tag failed"), {"error": "Internal Server Error"}),
        (BadRequest("no such model", status=404, code="x"), {"error": "Model Not Found", "detail": "no such model"}),
        (BadRequest("no m", code="model_not_found"), {"error": "Model Not Found", "detail": "no m"}),
        (BadRequest("messages is missing"), {"error": "Bad Request", "detail": "messages is missing"}),
        (ProxyError("busy", status=529, code="x"), {"error": "Service Unavailable", "detail": "busy"}),
        (ProxyError("odd", status=499, code="x"), {"error": "Bad Request", "detail": "odd"}),
    ],
)
def test_an_error_has_a_title_a_detail_and_the_id_of_the_request(error: ProxyError, body: dict[str, Any]) -> None:
    assert json.loads(write_proxy_error(error, "r1")) == {**body, "request_id": "r1"}


def test_an_error_in_a_stream_is_an_event_of_that_name() -> None:
    frame = write_proxy_error_event(ProxyError("late", status=504, code="x"), "r1")
    assert frame == b'event: error\ndata: {"error":"Gateway Timeout","detail":"late","request_id":"r1"}\n\n'
