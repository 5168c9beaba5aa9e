from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.model import Block, Citation, Opaque, Refusal, Text, Thinking, ToolCall
from llmproxy.dialects.responses import CODEC
from llmproxy.dialects.stream_events import Cite, Close, Delta, Done, Event, Fail, Lost, Open, Start, Stop, UsageUpdate
from llmproxy.dialects.usage import Usage
from tests.support.draws import draws
from tests.support.full_responses_request import read
from tests.support.sdk_clients import openai_client

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
START = Start(id="chatcmpl-7", model="m-1", created_s=1)
END: list[Event] = [Stop(reason="end"), UsageUpdate(usage=Usage(input=10, output=5)), Done()]


def write(*events: Event, one_by_one: bool = False) -> tuple[bytes, list[str]]:
    writer, losses = CODEC.stream_encoder(read()), Losses()
    if one_by_one:
        return b"".join(writer.encode([event], losses) for event in events), losses.dropped
    return writer.encode(events, losses), losses.dropped


def events_in(data: bytes) -> list[Any]:
    events = [json.loads(line[6:]) for line in data.split(b"\n") if line.startswith(b"data: ")]
    for number, event in enumerate(events):
        assert event["sequence_number"] == number, event
        EVENT.validate_python(event)
    return events


def final(data: bytes) -> Any:
    """Return what the official client makes of the stream."""
    with openai_client([data]).responses.stream(model="m", input="x") as stream:
        for _ in stream:
            pass
        return stream.get_final_response()


def block(index: int, opened: Block, *texts: str, **close: Any) -> list[Event]:
    return [
        Open(index=index, block=opened),
        *(Delta(index=index, text=text) for text in texts),
        Close(index=index, **close),
    ]


def test_a_text_is_told_in_the_order_of_the_vendor() -> None:
    data, dropped = write(START, *block(0, Text(text=""), "Hel", "lo"), *END)
    assert [event["type"].removeprefix("response.") for event in events_in(data)] == [
        *(
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
        ),
        *("output_text.done", "content_part.done", "output_item.done", "completed"),
    ]
    response = final(data)
    assert (response.id, response.output_text, response.usage.total_tokens, dropped) == ("resp_7", "Hello", 15, [])


def test_texts_that_follow_each_other_are_parts_of_one_message() -> None:
    data, _ = write(START, *block(0, Text(text=""), "a"), *block(1, Refusal(text=""), "b"), *END)
    [message] = final(data).output
    assert [part.type for part in message.content] == ["output_text", "refusal"]


def test_thinking_calls_and_custom_calls_are_items_of_their_own() -> None:
    events = [
        *block(0, Thinking(text="", dialect="messages"), "hm", signature="s"),
        *block(1, ToolCall(id="c", name="f", arguments=""), '{"a"', ":1}"),
        *block(2, ToolCall(id="d", name="g", arguments="", custom=True), "x = 1"),
        *block(3, Text(text=""), "so"),
    ]
    data, dropped = write(START, *events, Stop(reason="tool_calls"), Done())
    events_in(data)
    thought, call, free, message = final(data).output
    assert (thought.summary[0].text, call.arguments, call.call_id, free.input) == ("hm", '{"a":1}', "c", "x = 1")
    assert message.content[0].text == "so" and dropped == []


def test_thinking_without_a_word_has_no_summary() -> None:
    data, _ = write(START, *block(0, Thinking(text="", dialect="messages"), "", signature="s"), *END)
    assert not [event for event in events_in(data) if "summary_index" in event]
    assert final(data).output[0].summary == []


def test_ones_own_thinking_keeps_its_encrypted_content() -> None:
    data, _ = write(START, *block(0, Thinking(text="", dialect="responses", id="rs_1"), encrypted="g="), *END)
    events_in(data)
    [thought] = final(data).output
    assert (thought.id, thought.encrypted_content, thought.summary) == ("rs_1", "g=", [])


def test_citations_are_told_with_their_text() -> None:
    cite = Cite(index=0, citation=Citation(url="https://h", title="t", start=0, end=2))
    data, _ = write(START, Open(index=0, block=Text(text="")), Delta(index=0, text="ab"), cite, Close(index=0), *END)
    events_in(data)
    assert final(data).output[0].content[0].annotations[0].url == "https://h"


def test_what_a_block_held_when_it_was_opened_is_told_too() -> None:
    likely = {"token": "ab", "logprob": -0.1, "bytes": [97, 98], "top_logprobs": []}
    held = Text(text="ab", annotations=[Citation(url="https://h")], logprobs=[likely])
    events = [*block(0, held, "c"), *block(1, ToolCall(id="c", name="f", arguments='{"a"'), ":1}")]
    data, _ = write(START, *events, *END)
    kinds = [event["type"].removeprefix("response.") for event in events_in(data)]
    assert kinds.count("output_text.annotation.added") == 1
    message, call = final(data).output
    [part] = message.content
    assert (part.text, part.logprobs[0].token, part.annotations[0].url) == ("abc", "ab", "https://h")
    assert call.arguments == '{"a":1}' and len(held.annotations) == 1


def test_an_item_without_an_id_gets_one_that_stays() -> None:
    item = {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}}
    data, _ = write(START, *block(0, Opaque(dialect="responses", kind="web_search_call", value=item)), *END)
    events = events_in(data)
    [added, done] = [event["item"] for event in events if "item" in event]
    assert added == done == item | {"id": "it_7_0"} and events[-1]["response"]["output"] == [done]


@pytest.mark.parametrize(
    ("reason", "status"),
    [("length", "incomplete"), ("content_filter", "incomplete"), ("refusal", "incomplete"), ("end", "completed")],
)
def test_the_last_event_says_why_it_stopped(reason: Any, status: str) -> None:
    data, _ = write(START, *block(0, Text(text=""), "a"), Stop(reason=reason), Done())
    assert events_in(data)[-1]["type"] == f"response.{status}" and events_in(data)[-1]["response"]["status"] == status


def test_a_refusal_in_words_is_a_whole_response() -> None:
    data, _ = write(START, *block(0, Refusal(text=""), "No."), Stop(reason="refusal"), Done())
    assert events_in(data)[-1]["type"] == "response.completed"


@pytest.mark.parametrize("place", range(1, 6))
def test_a_failure_ends_the_stream_wherever_it_comes(place: int) -> None:
    events = [START, *block(0, Text(text=""), "a", "b")]
    data, _ = write(*events[:place], Fail(message="boom", code="x", status=503))
    kinds = [json.loads(line[6:])["type"] for line in data.split(b"\n") if line.startswith(b"data: ")]
    assert kinds[-2:] == ["response.failed", "error"] and data.endswith(b"\n\n")
    with (
        pytest.raises(openai.APIError, match="boom"),
        openai_client([data]).responses.stream(model="m", input="x") as stream,
    ):
        for _ in stream:
            pass


def test_what_has_no_place_is_listed() -> None:
    foreign = Opaque(dialect="messages", kind="server_tool_use", value={})
    stop = Stop(reason="pause", sequence="x")
    data, dropped = write(START, *block(0, foreign, "ignored"), Lost(what="odd"), stop, Done())
    assert events_in(data)[-1]["response"]["output"] == []
    assert dropped == ["reply.server_tool_use", "reply.odd", "reply.stop_sequence", "reply.stop.pause"]


@draws(160)
@given(st.lists(st.sampled_from(["text", "refusal", "call", "free", "thinking"]), max_size=5), st.data())
def test_interleaved_blocks_are_accepted_by_the_official_client(kinds: list[str], data: st.DataObject) -> None:
    makers: dict[str, Any] = {
        "text": lambda n: Text(text=""),
        "refusal": lambda n: Refusal(text=""),
        "call": lambda n: ToolCall(id=f"c{n}", name="f", arguments=""),
        "free": lambda n: ToolCall(id=f"c{n}", name="g", arguments="", custom=True),
        "thinking": lambda n: Thinking(text="", dialect="chat"),
    }
    queues = [block(number, makers[kind](number), f"<{number}", ">") for number, kind in enumerate(kinds)]
    events: list[Event] = [START]
    begun = 0
    while any(queues):
        choices = [n for n, queue in enumerate(queues) if queue and n <= begun]
        chosen = data.draw(st.sampled_from(choices))
        begun = max(begun, chosen + 1) if len(queues[chosen]) == 4 else begun
        events.append(queues[chosen].pop(0))
    written, _ = write(*events, *END, one_by_one=data.draw(st.booleans()))
    events_in(written)
    response = final(written)
    said = json.dumps(response.to_dict())
    assert all(f"<{number}>" in said for number in range(len(kinds)))


def test_a_failure_before_anything_else_is_an_error_alone() -> None:
    """A response that nobody began cannot fail."""
    data, _ = write(Fail(message="boom", code="x"))
    [event] = events_in(data)
    assert (event["type"], event["sequence_number"], event["message"]) == ("error", 0, "boom")


def test_a_failure_bears_a_code_that_clients_know() -> None:
    data, _ = write(START, Fail(message="slow", code="rate_limit_error", status=429))
    failed, error = events_in(data)[-2:]
    assert failed["response"]["error"] == {"code": "rate_limit_exceeded", "message": "slow"}
    assert (failed["response"]["status"], error["code"]) == ("failed", "rate_limit_error")


def test_a_text_that_was_cut_short_is_incomplete() -> None:
    events = [*block(0, Text(text=""), "a"), *block(1, ToolCall(id="c", name="f", arguments=""), "{}")]
    data, _ = write(START, *events, *block(2, Text(text=""), "b"), Stop(reason="length"), Done())
    done = [event["item"]["status"] for event in events_in(data) if event["type"] == "response.output_item.done"]
    assert done == ["completed", "completed", "incomplete"]
    assert [item["status"] for item in events_in(data)[-1]["response"]["output"]] == done


def test_a_call_that_was_cut_short_is_incomplete() -> None:
    calls = [ToolCall(id=name, name="f", arguments="") for name in "ab"]
    events = [*block(0, calls[0], "{}"), *block(1, calls[1], '{"a')]
    data, _ = write(START, *events, Stop(reason="length"), Done(), one_by_one=True)
    done = [event["item"]["status"] for event in events_in(data) if event["type"] == "response.output_item.done"]
    assert done == ["completed", "incomplete"]
    assert [item["status"] for item in events_in(data)[-1]["response"]["output"]] == done


def test_likelihoods_are_told_as_events_and_parts_have_them() -> None:
    likely = {"token": "a", "logprob": -0.5, "bytes": None, "top_logprobs": [{"token": "b", "logprob": -1.0}]}
    bare = {"token": "a", "logprob": -0.5, "top_logprobs": [{"token": "b", "logprob": -1.0}]}
    delta = Delta(index=0, text="a", logprobs=[likely])
    data, _ = write(START, Open(index=0, block=Text(text="")), delta, Close(index=0), *END)
    events = {event["type"].removeprefix("response."): event for event in events_in(data)}
    assert events["output_text.delta"]["logprobs"] == events["output_text.done"]["logprobs"] == [bare]
    with_bytes = {"token": "b", "logprob": -1.0, "bytes": [98]}
    assert events["content_part.done"]["part"]["logprobs"] == [bare | {"bytes": [97], "top_logprobs": [with_bytes]}]


def test_seals_of_thinking_that_was_shown_in_parts_are_told_at_its_end() -> None:
    parts = {"~summary": [{"type": "summary_text", "text": text} for text in ("a", "b")]}
    thought = Thinking(text="", dialect="responses", id="rs_1", summary=True)
    data, dropped = write(START, *block(0, thought, "a\n\nb", encrypted="g=", extra=parts), *END)
    events_in(data)
    [item] = final(data).output
    assert (item.id, item.encrypted_content, [part.text for part in item.summary]) == ("rs_1", "g=", ["a\n\nb"])
    assert dropped == []


def test_calls_of_one_id_are_told_apart() -> None:
    """The SDK knows calls by that id, and breaks the stream off when it comes again."""
    calls = [event for index in range(3) for event in block(index, ToolCall(id="c", name="f", arguments=""), "{}")]
    data, _ = write(START, *calls, *END)
    events_in(data)
    assert [call.call_id for call in final(data).output] == ["c", "c_2", "c_3"]
