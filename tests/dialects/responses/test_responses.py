"""Responses as the official SDK meets them: errors of ours, in replies and in streams."""

from __future__ import annotations

import json

import openai
import pytest
from openai.types.responses import ResponseErrorEvent

from llmproxy.dialects.responses import CODEC, DIALECT
from llmproxy.errors import BadRequest, BrokenStream
from tests.support.sdk_clients import openai_client, stream_frames


def test_the_sdk_raises_its_typed_error() -> None:
    body = DIALECT.write_error(BadRequest("why", status=404, code="model_not_found", param="model"), "req_1")
    with pytest.raises(openai.NotFoundError, match="why") as raised:
        openai_client(body, 404).responses.create(model="m", input="Hi")
    assert (raised.value.code, raised.value.param) == ("model_not_found", "model")


def test_the_sdk_raises_when_a_stream_ends_with_our_error() -> None:
    frames = [*stream_frames(CODEC)[:5], DIALECT.write_error_event(BrokenStream("went away"), "req_1")]
    seen = []
    with pytest.raises(openai.APIError, match="went away"):
        for event in openai_client(frames).responses.create(model="m", input="Hi", stream=True):
            seen.append(event.type)
    assert seen[-1] == "response.output_text.delta"


def test_our_error_event_is_the_vendors_typed_event() -> None:
    frame = DIALECT.write_error_event(BrokenStream("went away", code="cut"), "req_1")
    name, data = frame.split(b"\n")[:2]
    assert name == b"event: error"
    event = ResponseErrorEvent.model_validate(json.loads(data.removeprefix(b"data: ")))
    assert (event.type, event.message, event.code) == ("error", "went away", "cut")


def test_our_own_error_event_is_recorded_as_one() -> None:
    watch = DIALECT.readers.watch()
    watch.feed(DIALECT.write_error_event(BrokenStream("went away"), "req_1"))
    assert watch.close().error == "went away"
