"""Streams of response events."""

from __future__ import annotations

import json

import pytest
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from llmproxy.dialects.responses import CODEC, DIALECT
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage
from tests.support.sdk_clients import USAGE, openai_client, stream_frames

EVENT: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)


def event(kind: str, **members: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


CREATED = event("response.created", response={"model": "m", "status": "in_progress", "usage": None, "error": None})
TEXT = event("response.output_text.delta", delta="a")


def watched(*frames: bytes, text: bool = False) -> Summary:
    watch = DIALECT.readers.watch(text=text)
    for frame in frames:
        watch.feed(frame)
    return watch.close()


@pytest.mark.parametrize(
    "content",
    [
        TEXT,
        event("response.reasoning_summary_text.delta", delta="hm"),
        event("response.reasoning_text.delta", delta="hm"),
        event("response.refusal.delta", delta="No"),
        event("response.function_call_arguments.delta", delta="{"),
        event("response.output_item.added", item={"type": "function_call", "name": "f"}),
        event("response.output_item.added", item={"type": "web_search_call"}),
    ],
    ids=repr,
)
def test_a_stream_starts_with_its_first_content(content: bytes) -> None:
    watch = DIALECT.readers.watch()
    for frame in (
        CREATED,
        event("response.in_progress", response={}),
        event("response.output_item.added", item={"type": "reasoning", "summary": []}),
        event("response.output_item.added", item={"type": "message", "content": []}),
        event("response.content_part.added", part={"type": "output_text", "text": ""}),
        event("response.output_text.delta", delta=""),
    ):
        watch.feed(frame)
        assert not watch.started
    watch.feed(content)
    assert watch.started


@pytest.mark.parametrize(
    ("kind", "response", "summary"),
    [
        ("completed", {"status": "completed"}, Summary(model="m", finish_reason="completed", complete=True)),
        (
            "incomplete",
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            Summary(model="m", finish_reason="content_filter", complete=True),
        ),
        (
            "failed",
            {"status": "failed", "error": {"code": "c", "message": "went wrong"}},
            Summary(model="m", finish_reason="failed", error="went wrong", complete=True),
        ),
        ("failed", {}, Summary(model="m", finish_reason="failed", error="failed", complete=True)),
    ],
)
def test_a_stream_is_complete_with_its_last_event(kind: str, response: dict[str, object], summary: Summary) -> None:
    assert watched(CREATED, TEXT, event(f"response.{kind}", response=response)) == summary
    assert not watched(CREATED, TEXT, TEXT).complete


def test_usage_comes_with_the_last_event_and_is_found_wherever_that_is_cut() -> None:
    usage = {"input_tokens": 9, "output_tokens": 4, "output_tokens_details": {"reasoning_tokens": 3}}
    last = event("response.completed", response={"model": "m-1", "output": ["x" * 100], "usage": usage})
    for at in range(1, len(last)):
        summary = watched(CREATED, TEXT, last[:at], last[at:])
        assert (summary.model, summary.usage) == ("m-1", Usage(input=9, output=4, reasoning=3))


@pytest.mark.parametrize("members", [{"message": "went wrong", "code": None}, {"error": {"message": "went wrong"}}])
@pytest.mark.parametrize("before", [(), (CREATED, TEXT)])
def test_an_error_in_the_stream_is_recorded(before: tuple[bytes, ...], members: dict[str, object]) -> None:
    summary = watched(*before, event("error", **members))
    assert (summary.error, summary.complete) == ("went wrong", False)


def test_text_is_that_of_the_messages() -> None:
    thought = event("response.reasoning_text.delta", delta="hm")
    assert watched(CREATED, thought, TEXT, TEXT, text=True).text == "aa"


def test_every_canned_event_is_the_vendors() -> None:
    events = [EVENT.validate_json(frame.split(b"data: ")[1]) for frame in stream_frames(CODEC)]
    assert [each.type for each in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    numbers = [json.loads(frame.split(b"data: ")[1])["sequence_number"] for frame in stream_frames(CODEC)]
    assert numbers == list(range(len(events)))


def test_the_sdk_reads_the_canned_stream() -> None:
    with openai_client(stream_frames(CODEC)).responses.stream(model="m", input="Hi") as stream:
        deltas = [each.delta for each in stream if each.type == "response.output_text.delta"]
        response = stream.get_final_response()
    assert deltas == ["stub ", "response"]
    assert (response.output_text, response.status, response.id) == ("stub response", "completed", "resp_7")
    assert response.usage is not None and response.usage.total_tokens == 13


def test_what_is_written_is_read_again() -> None:
    assert watched(*stream_frames(CODEC), text=True) == Summary(
        id="resp_7",
        model="stub-1",
        usage=USAGE,
        finish_reason="completed",
        text="stub response",
        complete=True,
    )
