"""Errors of ours, as botocore's own parser reads them."""

from __future__ import annotations

import pytest

from llmproxy.dialects.converse.error_body import error_headers, write_error, write_error_event
from llmproxy.errors import ProxyError
from llmproxy.wire.json import read_value
from tests.support.converse_types import ConverseStreamError, converse_events


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "ValidationException"),
        (401, "AccessDeniedException"),
        (403, "AccessDeniedException"),
        (404, "ResourceNotFoundException"),
        (408, "ModelTimeoutException"),
        (413, "ValidationException"),
        (424, "ModelErrorException"),
        (429, "ThrottlingException"),
        (500, "InternalServerException"),
        (502, "InternalServerException"),
        (503, "ServiceUnavailableException"),
        (529, "ServiceUnavailableException"),
    ],
)
def test_an_error_names_its_exception_in_a_header(status: int, name: str) -> None:
    error = ProxyError("No more", status=status)
    assert error_headers(error) == (("x-amzn-ErrorType", name),)
    assert read_value(write_error(error, "id")) == {"message": "No more"}


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "validationException"),
        (429, "throttlingException"),
        (500, "internalServerException"),
        (502, "modelStreamErrorException"),
        (503, "serviceUnavailableException"),
        (504, "modelStreamErrorException"),
        (529, "serviceUnavailableException"),
    ],
)
def test_an_error_in_a_stream_is_an_exception_that_the_service_model_has(status: int, name: str) -> None:
    with pytest.raises(ConverseStreamError, match="No more") as raised:
        list(converse_events(write_error_event(ProxyError("No more", status=status), "id")))
    assert raised.value.code == name
