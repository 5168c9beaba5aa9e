"""Chat as the official SDK meets it: errors of ours, in replies and in streams."""

from __future__ import annotations

import openai
import pytest

from llmproxy.dialects.chat import CODEC, COMPLETIONS, DIALECT
from llmproxy.dialects.dialect import Dialect
from llmproxy.errors import BadRequest, BrokenStream, ProxyError
from tests.support.sdk_clients import STATUSES, openai_client, stream_frames

RAISED = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    409: openai.ConflictError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    502: openai.InternalServerError,
    503: openai.InternalServerError,
    504: openai.InternalServerError,
    529: openai.InternalServerError,
}


@pytest.mark.parametrize("status", STATUSES)
def test_the_sdk_raises_its_typed_error(status: int) -> None:
    body = DIALECT.write_error(ProxyError("why", status=status, code="told"), "req_1")
    with pytest.raises(RAISED.get(status, openai.APIStatusError)) as raised:
        openai_client(body, status).chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
    assert "why" in raised.value.message and raised.value.code == "told"


def test_the_member_at_fault_reaches_the_sdk() -> None:
    body = DIALECT.write_error(BadRequest("why", param="model"), "req_1")
    with pytest.raises(openai.BadRequestError) as raised:
        openai_client(body, 400).chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
    assert raised.value.param == "model"


@pytest.mark.parametrize("dialect", [DIALECT, COMPLETIONS], ids=lambda dialect: dialect.name)
def test_the_sdk_raises_when_a_stream_ends_with_our_error(dialect: Dialect) -> None:
    frames = [*stream_frames(CODEC)[:2], dialect.write_error_event(BrokenStream("went away"), "req_1")]
    seen = []
    with pytest.raises(openai.APIError, match="went away"):
        for chunk in openai_client(frames).chat.completions.create(
            model="m", messages=[{"role": "user", "content": "Hi"}], stream=True
        ):
            seen.append(chunk)
    assert len(seen) == 2


def test_our_own_error_event_is_recorded_as_one() -> None:
    watch = DIALECT.readers.watch()
    watch.feed(DIALECT.write_error_event(BrokenStream("went away"), "req_1"))
    assert watch.close().error == "went away"
