from __future__ import annotations

import json
from typing import Any

import pytest

from llmproxy.dialects.responses.reshape import RESHAPE

MESSAGE = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Yes", "annotations": [], "logprobs": []}],
}
CALLED = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "c1",
    "name": "look",
    "arguments": "{}",
    "status": "completed",
}


def reply(*items: dict[str, Any], **members: Any) -> dict[str, Any]:
    value = {"id": "resp_1", "object": "response", "created_at": 7, "model": "m", "status": "completed"}
    usage = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
    return {**value, "output": list(items), "usage": usage, "novelty": {"x": 1}, **members}


def events(value: dict[str, Any]) -> list[Any]:
    stream = RESHAPE.stream_of(json.dumps(value).encode(), usage=True)
    assert stream is not None
    frames = stream.decode().removesuffix("\n\n").split("\n\n")
    return [json.loads(frame.split("\n")[1].removeprefix("data: ")) for frame in frames]


def test_events_are_numbered_from_the_first_on() -> None:
    actual = events(reply(MESSAGE, CALLED))
    assert [event["sequence_number"] for event in actual] == list(range(len(actual)))


def test_items_are_added_told_and_done() -> None:
    actual = events(reply(MESSAGE, CALLED))
    assert [event["type"].removeprefix("response.") for event in actual] == [
        *("created", "in_progress"),
        *("output_item.added", "content_part.added", "output_text.delta", "output_text.done", "content_part.done"),
        *("output_item.done", "output_item.added", "function_call_arguments.delta", "function_call_arguments.done"),
        *("output_item.done", "completed"),
    ]
    assert actual[2]["item"]["content"] == [] and actual[2]["item"]["status"] == "in_progress"
    assert [event["output_index"] for event in actual[2:-1]] == [0] * 6 + [1] * 4


@pytest.mark.parametrize("status", ["completed", "incomplete"])
def test_the_last_event_holds_the_whole_reply(status: str) -> None:
    value = reply(MESSAGE, status=status)
    assert events(value)[-1] == {"type": f"response.{status}", "sequence_number": 8, "response": value}
    stream = RESHAPE.stream_of(json.dumps(value).encode(), usage=True)
    assert json.loads(RESHAPE.reply_of(stream or b"") or b"") == value


def test_an_answer_that_goes_on_elsewhere_is_no_stream() -> None:
    for status in ("queued", "in_progress", "cancelled", None, ["completed"]):
        assert RESHAPE.stream_of(json.dumps(reply(MESSAGE, status=status)).encode(), usage=True) is None


def test_items_that_nobody_knows_are_added_and_done() -> None:
    actual = events(reply({"type": "novelty", "id": "n_1", "x": 1}))
    assert [event["item"] for event in actual[2:4]] == [{"type": "novelty", "id": "n_1", "x": 1}] * 2


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"input": "hi"}, False),
        ({"input": [{"role": "user", "content": "hi", "id": "msg_1"}]}, False),
        ({"input": [{"type": "function_call_output", "id": "fc_1", "call_id": "c", "output": "x"}]}, False),
        ({"input": "hi", "previous_response_id": None}, False),
        ({"input": "hi", "previous_response_id": "resp_1"}, True),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, True),
        ({"input": [{"role": "user", "content": "hi"}, {"id": "msg_1"}]}, True),
    ],
)
def test_a_request_may_name_what_is_stored(members: dict[str, Any], expected: bool) -> None:
    assert RESHAPE.names_stored(members) is expected
