"""Messages as the official SDK meets them: errors of ours, in replies and in streams."""

from __future__ import annotations

import json

import anthropic
import pytest

from llmproxy.dialects.messages import CODEC, DIALECT
from llmproxy.errors import BrokenStream, ProxyError, UpstreamError
from tests.support.sdk_clients import STATUSES, anthropic_client, stream_frames

RAISED = {
    400: (anthropic.BadRequestError, "invalid_request_error"),
    401: (anthropic.AuthenticationError, "authentication_error"),
    403: (anthropic.PermissionDeniedError, "permission_error"),
    404: (anthropic.NotFoundError, "not_found_error"),
    413: (anthropic.APIStatusError, "request_too_large"),
    429: (anthropic.RateLimitError, "rate_limit_error"),
    500: (anthropic.InternalServerError, "api_error"),
    502: (anthropic.InternalServerError, "api_error"),
    503: (anthropic.APIStatusError, "overloaded_error"),
    504: (anthropic.APIStatusError, "timeout_error"),
    529: (anthropic.APIStatusError, "overloaded_error"),
}


@pytest.mark.parametrize("status", STATUSES)
def test_the_sdk_raises_its_typed_error(status: int) -> None:
    raised_type, kind = RAISED.get(status, (anthropic.APIStatusError, "invalid_request_error"))
    body = DIALECT.write_error(ProxyError("why", status=status), "req_7")
    with pytest.raises(raised_type) as raised:
        anthropic_client(body, status).messages.create(
            model="m", max_tokens=9, messages=[{"role": "user", "content": "Hi"}]
        )
    assert raised.value.status_code == status and raised.value.type == kind
    actual = {"type": "error", "error": {"type": kind, "message": "why"}, "request_id": "req_7"}
    assert json.loads(body) == actual == raised.value.body


def test_the_sdk_raises_when_a_stream_ends_with_our_error() -> None:
    error = UpstreamError("went away", status=504)
    frames = [*stream_frames(CODEC)[:3], DIALECT.write_error_event(error, "req_7")]
    seen = []
    with pytest.raises(anthropic.APIStatusError, match="went away") as raised:
        for event in anthropic_client(frames).messages.create(
            model="m", max_tokens=9, messages=[{"role": "user", "content": "Hi"}], stream=True
        ):
            seen.append(event.type)
    assert raised.value.type == "timeout_error"
    assert seen == ["message_start", "content_block_start", "content_block_delta"]


def test_our_own_error_event_is_recorded_as_one() -> None:
    watch = DIALECT.readers.watch()
    watch.feed(DIALECT.write_error_event(BrokenStream("went away"), "req_7"))
    assert watch.close().error == "went away"
