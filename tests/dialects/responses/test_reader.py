from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.dialects.model import (
    Counted,
    Done,
    Event,
    Fail,
    Foreign,
    Open,
    Reply,
    Start,
    Text,
    Thinking,
    ToolCall,
    collect,
)
from llmproxy.dialects.responses.codec import CODEC
from tests import vendors


def frames(*events: dict[str, Any]) -> bytes:
    return b"".join(vendors._event(event | {"sequence_number": n}) for n, event in enumerate(events))


def read(data: bytes, size: int = 1 << 20) -> list[Event]:
    reader = CODEC.stream_reader()
    events = [event for start in range(0, len(data), size) for event in reader.feed(data[start : start + size])]
    return [*events, *reader.close()]


def reply(data: bytes, size: int = 1 << 20) -> Reply:
    found = collect(read(data, size))
    assert isinstance(found, Reply), found
    return found


BEGUN = {"type": "response.created", "response": vendors.response("m", status="in_progress")}
DONE = {"type": "response.completed", "response": vendors.response("m", True)}
CALL = {"id": "fc", "type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a":1}'}


@pytest.mark.parametrize("size", [1, 3, 17, 1 << 20])
@pytest.mark.parametrize("tools", [False, True])
def test_a_stream_tells_what_the_whole_answer_does(size: int, tools: bool) -> None:
    found = reply(b"".join(vendors.response_frames("m", tools)), size)
    whole = CODEC.decode_reply(json.dumps(vendors.response("m", tools)).encode())
    texts = [(block.id, block.name, block.arguments) for block in found.content if isinstance(block, ToolCall)]
    assert texts == [(block.id, block.name, block.arguments) for block in whole.content if isinstance(block, ToolCall)]
    assert [b.text for b in found.content if isinstance(b, Text)] == [
        b.text for b in whole.content if isinstance(b, Text)
    ]
    assert (found.id, found.model, found.stop, found.usage) == (whole.id, whole.model, whole.stop, whole.usage)


def test_the_events_are_in_order() -> None:
    events = read(b"".join(vendors.response_frames("m")))
    assert isinstance(events[0], Start) and isinstance(events[1], Open)
    assert isinstance(events[-1], Done) and sum(isinstance(event, Counted) for event in events) == 1


@pytest.mark.parametrize(
    "events",
    [
        [{"type": "response.output_item.done", "output_index": 0, "item": CALL}],
        [
            {"type": "response.output_item.added", "output_index": 0, "item": CALL | {"arguments": ""}},
            {"type": "response.function_call_arguments.done", "output_index": 0, "arguments": '{"a":1}'},
            {"type": "response.output_item.done", "output_index": 0, "item": CALL},
        ],
        [
            {"type": "response.output_item.added", "output_index": 0, "item": CALL | {"arguments": ""}},
            {"type": "response.output_item.done", "output_index": 0, "item": CALL},
        ],
        [],
    ],
    ids=["item.done alone", "arguments.done", "item.done", "completed alone"],
)
def test_a_call_is_whole_however_little_is_told(events: list[dict[str, Any]]) -> None:
    last = DONE | {"response": vendors.response("m") | {"output": [CALL]}}
    found = reply(frames(BEGUN, *events, last))
    [call] = found.content
    assert isinstance(call, ToolCall) and (call.id, call.name, call.arguments) == ("c", "f", '{"a":1}')
    assert found.stop == "tool_calls"


def test_text_without_deltas_is_told() -> None:
    item = vendors._items(False)[0]
    for events in (
        [{"type": "response.output_item.done", "output_index": 0, "item": item}],
        [{"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": vendors.TEXT}],
    ):
        found = reply(frames(BEGUN, *events, DONE | {"response": vendors.response("m")}))
        assert [block.text for block in found.content if isinstance(block, Text)] == [vendors.TEXT]


def test_thinking_comes_with_its_seal_and_parts_stay_apart() -> None:
    item = {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "g="}
    delta = {"type": "response.reasoning_summary_text.delta", "output_index": 0}
    found = reply(
        frames(
            BEGUN,
            {"type": "response.output_item.added", "output_index": 0, "item": item | {"encrypted_content": None}},
            delta | {"summary_index": 0, "delta": "one"},
            delta | {"summary_index": 1, "delta": "two"},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            DONE,
        )
    )
    [thought] = [block for block in found.content if isinstance(block, Thinking)]
    assert (thought.text, thought.encrypted, thought.id) == ("one\n\ntwo", "g=", "rs")


def test_thinking_without_words_is_told_for_its_seal() -> None:
    item = {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "g="}
    found = reply(frames(BEGUN, {"type": "response.output_item.done", "output_index": 0, "item": item}, DONE))
    [thought] = [block for block in found.content if isinstance(block, Thinking)]
    assert (thought.text, thought.encrypted) == ("", "g=")


def test_items_of_this_api_alone_are_kept_whole() -> None:
    item = {"type": "web_search_call", "id": "ws", "status": "completed"}
    found = reply(frames(BEGUN, {"type": "response.output_item.done", "output_index": 0, "item": item}, DONE))
    assert [block.value for block in found.content if isinstance(block, Foreign)] == [item]


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"type": "error", "code": "rate_limit_exceeded", "message": "slow"}, "slow"),
        ({"type": "error", "error": {"message": "slow", "code": "x"}}, "slow"),
        ({"type": "response.failed", "response": {"error": {"code": "server_error", "message": "slow"}}}, "slow"),
    ],
)
@pytest.mark.parametrize("before", [0, 4])
def test_an_error_ends_the_stream(event: dict[str, Any], message: str, before: int) -> None:
    begun = b"".join(vendors.response_frames("m")[:before])
    events = read(begun + frames(event) + b"".join(vendors.response_frames("m")))
    assert isinstance(events[-1], Fail) and events[-1].message == message
    assert sum(isinstance(each, Fail | Done) for each in events) == 1


def test_a_stream_without_its_last_event_failed() -> None:
    events = read(b"".join(vendors.response_frames("m")[:-1]))
    assert isinstance(events[-1], Fail)


def test_done_marks_and_unknown_events_say_nothing() -> None:
    data = frames({"type": "response.web_search_call.searching"}) + b"".join(vendors.response_frames("m"))
    assert isinstance(read(data + b"data: [DONE]\n\n")[-1], Done)


@given(st.binary(max_size=200), st.integers(0, 12), st.integers(1, 50))
def test_any_bytes_are_events_and_one_end(noise: bytes, place: int, size: int) -> None:
    good = vendors.response_frames("m", True)
    events = read(b"".join(good[:place]) + noise + b"".join(good[place:]), size)
    assert sum(isinstance(event, Fail | Done) for event in events) == 1 and isinstance(events[-1], Fail | Done)
