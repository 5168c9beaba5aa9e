"""Streams of ConverseStream as events."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.converse.stream_decode import ConverseStreamDecoder
from llmproxy.dialects.model import Media, Opaque, Reply, Text, Thinking, ToolCall
from llmproxy.dialects.reply_events import collect
from llmproxy.dialects.stream_events import Cite, Delta, Done, Event, Fail, Lost, Open, Stop, UsageUpdate
from llmproxy.dialects.usage import Usage
from llmproxy.wire.eventstream import write_message
from tests.support.event_messages import messages_of

START: dict[str, Any] = {"messageStart": {"role": "assistant"}}
END: list[dict[str, Any]] = [
    {"messageStop": {"stopReason": "end_turn"}},
    {"metadata": {"usage": {"inputTokens": 5, "outputTokens": 2, "totalTokens": 7}, "metrics": {"latencyMs": 1}}},
]


def delta(index: int, **value: Any) -> dict[str, Any]:
    return {"contentBlockDelta": {"contentBlockIndex": index, "delta": value, "p": "abc"}}


def start(index: int, **value: Any) -> dict[str, Any]:
    return {"contentBlockStart": {"contentBlockIndex": index, "start": value}}


def stop(index: int) -> dict[str, Any]:
    return {"contentBlockStop": {"contentBlockIndex": index}}


def read(*events: dict[str, Any]) -> list[Event]:
    decoder = ConverseStreamDecoder()
    return [*decoder.feed(messages_of(list(events))), *decoder.close()]


def reply_of(*events: dict[str, Any]) -> Reply:
    reply = collect(read(START, *events, *END))
    assert isinstance(reply, Reply)
    return reply


def test_texts_and_thinking_begin_with_their_first_delta() -> None:
    reply = reply_of(
        delta(0, reasoningContent={"text": "Hm"}),
        delta(0, reasoningContent={"signature": "s"}),
        stop(0),
        delta(1, text="Hi"),
        delta(1, text=" you"),
        stop(1),
    )
    thinking, text = reply.content
    assert isinstance(thinking, Thinking) and (thinking.text, thinking.signature) == ("Hm", "s")
    assert isinstance(text, Text) and text.text == "Hi you" and reply.usage == Usage(input=5, output=2)


def test_redacted_thinking_is_sealed() -> None:
    [thinking] = reply_of(delta(0, reasoningContent={"redactedContent": "AAAA"}), stop(0)).content
    assert isinstance(thinking, Thinking) and thinking.redacted and thinking.encrypted == "AAAA"


def test_parallel_calls_may_come_interleaved() -> None:
    calls = [start(index, toolUse={"toolUseId": f"t{index}", "name": "n"}) for index in (0, 1)]
    pieces = [delta(index, toolUse={"input": piece}) for piece in ('{"a":', "1}") for index in (0, 1)]
    reply = reply_of(*calls, *pieces, stop(1), stop(0))
    assert [call.arguments for call in reply.content if isinstance(call, ToolCall)] == ['{"a":1}', '{"a":1}']
    assert reply.stop == "tool_calls"


def test_a_call_without_input_has_empty_arguments() -> None:
    [call] = reply_of(
        start(0, toolUse={"toolUseId": "t", "name": "n"}), delta(0, toolUse={"input": ""}), stop(0)
    ).content
    assert isinstance(call, ToolCall) and call.arguments == "{}"


def test_blocks_of_the_providers_own_tools_and_pictures_come_whole() -> None:
    reply = reply_of(
        start(0, toolUse={"toolUseId": "t", "name": "n", "type": "server_tool_use"}),
        delta(0, toolUse={"input": '{"a"'}),
        delta(0, toolUse={"input": ":1}"}),
        stop(0),
        start(1, toolResult={"toolUseId": "t", "type": "x", "status": "success"}),
        delta(1, toolResult=[{"text": "a"}]),
        delta(1, toolResult=[{"json": {"b": 1}}]),
        stop(1),
        start(2, image={"format": "png"}),
        delta(2, image={"source": {"bytes": "AAAA"}}),
        stop(2),
    )
    call, result, picture = reply.content
    assert isinstance(call, Opaque) and call.value["toolUse"]["input"] == {"a": 1}
    assert isinstance(result, Opaque) and result.value["toolResult"]["content"] == [{"text": "a"}, {"json": {"b": 1}}]
    assert isinstance(picture, Media) and picture.data == "AAAA"


def test_citations_belong_to_their_text() -> None:
    events = read(START, delta(0, text="a"), delta(0, citation={"title": "T"}), stop(0), *END)
    [cite] = [event for event in events if isinstance(event, Cite)]
    assert (cite.index, cite.citation.title) == (0, "T")


def test_the_end_tells_reason_and_tokens() -> None:
    more = {"messageStop": {"stopReason": "stop_sequence", "additionalModelResponseFields": {"stop_sequence": "E"}}}
    events = read(START, delta(0, text="a"), more, END[1])
    [reason] = [event for event in events if isinstance(event, Stop)]
    assert (reason.reason, reason.sequence, reason.word) == ("stop_sequence", "E", "stop_sequence")
    assert [type(event) for event in events[-2:]] == [UsageUpdate, Done]


def test_a_stream_without_tokens_is_whole_and_one_without_a_reason_is_not() -> None:
    assert isinstance(read(START, delta(0, text="a"), END[0])[-1], Done)
    assert isinstance(read(START, delta(0, text="a"))[-1], Fail)
    assert isinstance(read()[-1], Fail)


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("throttlingException", {}, 429),
        ("validationException", {}, 400),
        ("serviceUnavailableException", {}, 503),
        ("internalServerException", {}, 500),
        ("modelTimeoutException", {}, 408),
        ("modelStreamErrorException", {}, 424),
        ("modelStreamErrorException", {"originalStatusCode": 503}, 503),
        ("modelStreamErrorException", {"originalStatusCode": 7}, 424),
        ("newException", {}, 502),
    ],
)
@pytest.mark.parametrize("before", [[], [START, delta(0, text="a")]], ids=["first", "mid-stream"])
def test_an_exception_is_an_error_with_its_status(
    before: list[dict[str, Any]], name: str, value: dict[str, Any], status: int
) -> None:
    events = read(*before, {name: {"message": "No more", **value}}, delta(0, text="b"))
    assert events[-1] == Fail(message="No more", code=name, status=status)


def test_a_corrupt_message_is_a_failure() -> None:
    data = messages_of([START, delta(0, text="a"), *END])
    decoder = ConverseStreamDecoder()
    events = [*decoder.feed(data[:-1]), *decoder.feed(bytes([data[-1] ^ 1])), *decoder.close()]
    assert isinstance(events[-1], Fail) and "checksum" in events[-1].message


def test_what_is_cut_within_its_last_message_is_a_failure() -> None:
    decoder = ConverseStreamDecoder()
    events = [*decoder.feed(messages_of([START, delta(0, text="a"), *END])[:-1]), *decoder.close()]
    assert isinstance(events[-1], Fail) and "within a message" in events[-1].message


def test_what_is_not_understood_is_listed_once() -> None:
    events = read(
        START,
        {"newEvent": {}},
        delta(0, newDelta={}),
        delta(1, toolUse={"input": "x"}),
        {"contentBlockDelta": {"delta": {"text": "a"}}},
        END[0],
        delta(3, text="late"),
        {"metadata": {"usage": {}, "trace": {"guardrail": {}}}},
    )
    assert [event.what for event in events if isinstance(event, Lost)] == ["newEvent", "contentBlockDelta", "trace"]
    assert not [event for event in events if isinstance(event, Open | Delta)] and isinstance(events[-1], Done)


def test_a_payload_that_is_no_object_is_a_failure() -> None:
    events = ConverseStreamDecoder().feed(write_message("messageStart", b"[1]"))
    assert isinstance(events[-1], Fail)
