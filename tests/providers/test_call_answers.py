"""Answers between the forms of a call."""

from __future__ import annotations

import json

from llmproxy.answer import Answer, Headers
from llmproxy.dialects import catalog
from llmproxy.providers.call_answers import adapter
from llmproxy.providers.own_answers import FrameStream
from tests.support import vendors
from tests.support.fake_bedrock import chunk

FRAMES = vendors.message_frames("claude")
MESSAGES, FORM = catalog.find("POST", "/v1/messages"), catalog.find("POST", "/model/m/invoke")
assert MESSAGES is not None and FORM is not None
INVOKE_FORM = FORM.form


def test_nothing_changes_where_the_frames_are_the_same() -> None:
    azure = catalog.find("POST", "/openai/deployments/d/chat/completions")
    assert MESSAGES is not None and FORM is not None and azure is not None
    assert adapter(FORM, INVOKE_FORM, "id") is None and adapter(MESSAGES, None, "id") is None
    assert adapter(azure, None, "id") is None


async def test_a_stream_is_put_into_the_clients_frames_piece_by_piece() -> None:
    assert MESSAGES is not None
    adapt = adapter(MESSAGES, INVOKE_FORM, "id")
    assert adapt is not None
    headers = Headers([("Content-Type", "application/vnd.amazon.eventstream"), ("X", "y")])
    body = chunk(FRAMES[0])
    answer = await adapt(
        Answer(status=200, headers=headers, body=body[:9], stream=FrameStream([body[9:], *map(chunk, FRAMES[1:])]))
    )
    assert answer.headers["Content-Type"].startswith("text/event-stream") and answer.headers["X"] == "y"
    assert answer.body == b"" and answer.stream is not None
    first = await answer.stream.read()
    assert first.startswith(b"event: message_start\n") and first.endswith(b"\n\n")


async def test_a_whole_reply_keeps_its_bytes_and_an_error_is_written_anew() -> None:
    assert FORM is not None
    adapt = adapter(FORM, None, "id")
    assert adapt is not None
    reply = Answer(status=200, headers=Headers([("Content-Type", "application/json")]), body=b'{ "a":1 }')
    assert await adapt(reply) is reply and reply.body == b'{ "a":1 }'
    fault = Headers([("Content-Type", "application/json"), ("Content-Length", "3"), ("retry-after", "5")])
    words = json.dumps({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}).encode()
    answer = await adapt(Answer(status=529, headers=fault, body=words[:5], stream=FrameStream([words[5:]])))
    assert answer.status == 503 and json.loads(answer.body) == {"message": "busy"}
    assert answer.headers["x-amzn-ErrorType"] == "ServiceUnavailableException" and answer.headers["retry-after"] == "5"
