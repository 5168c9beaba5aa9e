"""Errors as AWS's SDKs read them."""

from __future__ import annotations

import json

import pytest

from llmproxy.dialects.aws_exceptions import error_headers, exception_status, write_error, write_error_event
from llmproxy.errors import ProxyError
from llmproxy.wire.eventstream import MessageSplitter
from llmproxy.wire.framing import ErrorFrame


@pytest.mark.parametrize(
    ("status", "name", "in_streams"),
    [
        (400, "ValidationException", "validationException"),
        (418, "ValidationException", "validationException"),
        (403, "AccessDeniedException", "validationException"),
        (429, "ThrottlingException", "throttlingException"),
        (500, "InternalServerException", "internalServerException"),
        (502, "InternalServerException", "modelStreamErrorException"),
        (529, "ServiceUnavailableException", "serviceUnavailableException"),
    ],
)
def test_a_status_has_the_exception_of_the_service_model(status: int, name: str, in_streams: str) -> None:
    error = ProxyError("words", status=status)
    assert error_headers(error) == (("x-amzn-ErrorType", name),)
    assert json.loads(write_error(error, "id")) == {"message": "words"}
    (frame,) = MessageSplitter().feed(write_error_event(error, "id"))
    assert isinstance(frame, ErrorFrame) and frame.event == in_streams
    value = json.loads(frame.data)
    assert value["message"] == "words"
    if "originalStatusCode" in value:
        assert exception_status(frame.event, value) == status


def test_an_unknown_exception_is_a_bad_gateway() -> None:
    assert exception_status("newException", {}) == 502 and exception_status("ThrottlingException", {}) == 429
