"""Streams of response events, read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.dialects.model import Opaque, Reply, Text, Thinking, ToolCall
from llmproxy.dialects.reply_events import collect
from llmproxy.dialects.responses import CODEC
from llmproxy.dialects.responses.request_messages import encode_reasoning
from llmproxy.dialects.stream_events import Close, Done, Event, Fail, Open, Start, UsageUpdate
from tests.support import vendors
from tests.support.draws import draws


def frames(*events: dict[str, Any]) -> bytes:
    return b"".join(vendors.event_frame(event | {"sequence_number": n}) for n, event in enumerate(events))


def read(data: bytes, size: int = 1 << 20) -> list[Event]:
    reader = CODEC.stream_decoder()
    events = [event for start in range(0, len(data), size) for event in reader.feed(data[start : start + size])]
    return [*events, *reader.close()]


def reply(data: bytes, size: int = 1 << 20) -> Reply:
    found = collect(read(data, size))
    assert isinstance(found, Reply), found
    return found


MEMBERS = [
    *("type", "delta", "output_index", "item_id", "content_index", "summary_index", "item", "part", "text", "refusal"),
    *("arguments", "input", "annotation", "annotations", "logprobs", "response", "error", "message", "code", "content"),
    *("output", "summary", "call_id", "name", "status", "usage", "created_at", "incomplete_details", "reason"),
]
KINDS = [
    *(
        "created",
        "output_item.added",
        "output_item.done",
        "content_part.added",
        "content_part.done",
        "output_text.delta",
    ),
    *("output_text.done", "output_text.annotation.added", "refusal.delta", "function_call_arguments.delta"),
    *("function_call_arguments.done", "custom_tool_call_input.done", "reasoning_summary_text.delta", "completed"),
    *("reasoning_summary_text.done", "reasoning_text.delta", "reasoning_text.done", "incomplete"),
]
BEGUN = {"type": "response.created", "response": vendors.response("m", status="in_progress")}
DONE = {"type": "response.completed", "response": vendors.response("m", True)}
CALL = {"id": "fc", "type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a":1}'}


@pytest.mark.parametrize("size", [1, 3, 17, 1 << 20])
@pytest.mark.parametrize("tools", [False, True])
def test_a_stream_tells_what_the_whole_answer_does(size: int, tools: bool) -> None:
    found = reply(b"".join(vendors.response_frames("m", tools)), size)
    whole = CODEC.decode_response(json.dumps(vendors.response("m", tools)).encode())
    texts = [(block.id, block.name, block.arguments) for block in found.content if isinstance(block, ToolCall)]
    assert texts == [(block.id, block.name, block.arguments) for block in whole.content if isinstance(block, ToolCall)]
    assert [b.text for b in found.content if isinstance(b, Text)] == [
        b.text for b in whole.content if isinstance(b, Text)
    ]
    assert (found.id, found.model, found.stop, found.usage) == (whole.id, whole.model, whole.stop, whole.usage)


def test_the_events_are_in_order() -> None:
    events = read(b"".join(vendors.response_frames("m")))
    assert isinstance(events[0], Start) and isinstance(events[1], Open)
    assert isinstance(events[-1], Done) and sum(isinstance(event, UsageUpdate) for event in events) == 1


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


def test_thinking_without_words_comes_for_its_encrypted_content() -> None:
    item = {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "g="}
    found = reply(frames(BEGUN, {"type": "response.output_item.done", "output_index": 0, "item": item}, DONE))
    [thought] = [block for block in found.content if isinstance(block, Thinking)]
    assert (thought.text, thought.encrypted) == ("", "g=")


def test_items_of_this_api_alone_are_kept_whole() -> None:
    item = {"type": "web_search_call", "id": "ws", "status": "completed"}
    found = reply(frames(BEGUN, {"type": "response.output_item.done", "output_index": 0, "item": item}, DONE))
    assert [block.value for block in found.content if isinstance(block, Opaque)] == [item]


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


@pytest.mark.parametrize("places", [{}, {"a": 0, "b": 1}], ids=["no event has it", "only the first has it"])
def test_items_without_a_place_are_told_apart_by_their_ids(places: dict[str, int]) -> None:
    """Not every service sends `output_index`, and not with each event."""
    added = [{"id": name, "type": "function_call", "call_id": name, "name": "f", "arguments": ""} for name in "ab"]
    found = reply(
        frames(
            BEGUN,
            *(
                {"type": "response.output_item.added", "item": item, "output_index": places.get(item["id"])}
                for item in added
            ),
            {"type": "response.function_call_arguments.delta", "item_id": "b", "delta": "[2"},
            {"type": "response.function_call_arguments.delta", "item_id": "a", "delta": "[1"},
            {"type": "response.function_call_arguments.delta", "item_id": "b", "delta": "]"},
            {"type": "response.function_call_arguments.delta", "item_id": "a", "delta": "]"},
            *({"type": "response.output_item.done", "item": item} for item in added),
            DONE | {"response": vendors.response("m")},
        )
    )
    calls = [(block.id, block.arguments) for block in found.content if isinstance(block, ToolCall)]
    assert calls == [("a", "[1]"), ("b", "[2]")]


def test_what_a_call_says_of_its_caller_is_kept() -> None:
    [call] = reply(frames(BEGUN, added(CALL | {"namespace": "n"}), DONE)).content
    assert isinstance(call, ToolCall) and (call.namespace, call.extra) == ("n", {})


def added(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": 0, "item": item}


THOUGHT: dict[str, Any] = {"type": "reasoning", "id": "rs", "summary": []}


@pytest.mark.parametrize(
    ("events", "text"),
    [
        ([("reasoning_summary_text.done", {"summary_index": 0, "text": "one"})], "one"),
        ([("reasoning_text.delta", {"delta": "on"}), ("reasoning_text.delta", {"delta": "e"})], "one"),
        ([("reasoning_text.delta", {"delta": "one"}), ("reasoning_text.done", {"text": "one"})], "one"),
        (
            [
                ("reasoning_summary_text.delta", {"summary_index": 0, "delta": "one"}),
                ("reasoning_summary_text.done", {"summary_index": 0, "text": "one"}),
                ("reasoning_summary_text.done", {"summary_index": 1, "text": "two"}),
            ],
            "one\n\ntwo",
        ),
    ],
    ids=["done alone", "deltas alone", "deltas and done", "a part without deltas"],
)
def test_thinking_is_told_once_however_it_comes(events: list[tuple[str, dict[str, Any]]], text: str) -> None:
    middle = [{"type": f"response.{name}", "output_index": 0, "item_id": "rs", **rest} for name, rest in events]
    done = {"type": "response.output_item.done", "output_index": 0, "item": THOUGHT}
    found = reply(frames(BEGUN, added(THOUGHT), *middle, done, DONE | {"response": vendors.response("m")}))
    [thought] = found.content
    assert isinstance(thought, Thinking) and (thought.text, thought.id) == (text, "rs")
    assert thought.summary is events[0][0].startswith("reasoning_summary")


def test_streamed_thinking_goes_back_as_the_service_had_it() -> None:
    summary = [{"type": "summary_text", "text": text} for text in ("one", "two")]
    item = THOUGHT | {"summary": summary, "encrypted_content": "g=", "status": "completed"}
    deltas = [
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": n, "delta": part["text"]}
        for n, part in enumerate(summary)
    ]
    done = {"type": "response.output_item.done", "output_index": 0, "item": item}
    [thought] = reply(frames(BEGUN, added(THOUGHT), *deltas, done, DONE | {"response": vendors.response("m")})).content
    assert isinstance(thought, Thinking) and encode_reasoning(thought) == item


def test_citations_are_told_once_whether_announced_or_not() -> None:
    notes = [
        {"type": "url_citation", "url": f"https://{n}", "title": "t", "start_index": 0, "end_index": 1} for n in "ab"
    ]
    part = {"type": "output_text", "text": "x", "annotations": notes}
    place = {"output_index": 0, "content_index": 0}
    found = reply(
        frames(
            BEGUN,
            {"type": "response.content_part.added", **place, "part": {"type": "output_text", "text": ""}},
            {"type": "response.output_text.annotation.added", **place, "annotation": notes[0]},
            {"type": "response.content_part.done", **place, "part": part},
            {
                "type": "response.output_item.done",
                "output_index": 0,
                "item": {"type": "message", "content": [part]},
            },
            DONE,
        )
    )
    [text] = found.content
    assert isinstance(text, Text) and text.text == "x"
    assert [each.url for each in text.annotations] == ["https://a", "https://b"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": "rate_limit_exceeded"}, 429),
        ({"code": None, "type": "rate_limit_error"}, 429),
        ({"code": "context_length_exceeded", "type": "invalid_request_error"}, 400),
        ({"code": "odd"}, 502),
    ],
    ids=str,
)
def test_an_error_has_the_status_that_an_answer_would_have_had(error: dict[str, Any], status: int) -> None:
    [fail] = [event for event in read(frames({"type": "error", "error": error})) if isinstance(event, Fail)]
    assert fail.status == status


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=4),
    max_leaves=6,
)
EVENTS = st.fixed_dictionaries(
    {"type": st.sampled_from([f"response.{name}" for name in KINDS])},
    optional={name: JSON for name in MEMBERS if name != "type"},
)


@draws(200)
@given(st.lists(EVENTS, max_size=6))
def test_members_of_any_type_are_read_to_one_end(events: list[dict[str, Any]]) -> None:
    actual = read(b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events))
    assert sum(isinstance(event, Fail | Done) for event in actual) == 1 and isinstance(actual[-1], Fail | Done)
    opened = [event.index for event in actual if isinstance(event, Open)]
    assert opened == list(range(len(opened)))
    if isinstance(actual[-1], Done):
        assert sorted(event.index for event in actual if isinstance(event, Close)) == opened


@pytest.mark.parametrize(("again", "calls"), [("c", ["c"]), ("d", ["c", "d"])])
def test_a_call_that_is_announced_over_another_closes_it(again: str, calls: list[str]) -> None:
    added = {"type": "response.output_item.added", "output_index": 0}
    delta = {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "{}"}
    first = added | {"item": CALL | {"arguments": ""}}
    second = added | {"item": CALL | {"arguments": "", "call_id": again}}
    events = read(frames(BEGUN, first, second, delta, DONE))
    opened = [event.block for event in events if isinstance(event, Open)]
    assert [block.id for block in opened if isinstance(block, ToolCall)] == calls
    assert sum(isinstance(event, Close) for event in events) == len(opened) and isinstance(events[-1], Done)


@given(st.binary(max_size=200), st.integers(0, 12), st.integers(1, 50))
def test_any_bytes_are_events_and_one_end(noise: bytes, place: int, size: int) -> None:
    good = vendors.response_frames("m", True)
    events = read(b"".join(good[:place]) + noise + b"".join(good[place:]), size)
    assert sum(isinstance(event, Fail | Done) for event in events) == 1 and isinstance(events[-1], Fail | Done)
