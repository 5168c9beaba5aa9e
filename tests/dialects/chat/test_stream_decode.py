"""Streams of chunks, read as events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.dialects.chat.stream_decode import ChatStreamDecoder
from llmproxy.dialects.model import Citation, Opaque, Refusal, Reply, Text, Thinking, ToolCall
from llmproxy.dialects.reply_events import collect
from llmproxy.dialects.stream_events import Close, Delta, Done, Event, Fail, Lost, Open, Start, Stop, UsageUpdate
from llmproxy.dialects.usage import Usage
from tests.support.draws import draws

DONE = b"data: [DONE]\n\n"
HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "m"}


def frame(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def chunk(finish_reason: str | None = None, logprobs: object = None, index: Any = 0, **delta: Any) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": finish_reason, "logprobs": logprobs}
    return frame({**HEAD, "choices": [choice]})


def read(*frames: bytes) -> list[Event]:
    reader = ChatStreamDecoder()
    events = [event for each in frames for event in reader.feed(each)]
    return [*events, *reader.close()]


def answered(*frames: bytes) -> Reply:
    reply = collect(read(*frames, DONE))
    assert isinstance(reply, Reply)
    return reply


def failure(*frames: bytes) -> Fail:
    events = read(*frames)
    assert isinstance(events[-1], Fail)
    assert sum(isinstance(event, Fail | Done) for event in events) == 1
    return events[-1]


def tool(index: int | None, call_id: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    return {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_a_plain_answer() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    frames = [
        chunk(role="assistant", content=""),
        chunk(content="a"),
        chunk(content="b"),
        chunk("stop"),
        frame({**HEAD, "choices": [], "usage": usage}),
        DONE,
    ]
    assert read(*frames) == [
        Start(id="chatcmpl-1", model="m", created_s=7),
        Open(index=0, block=Text(text="")),
        Delta(index=0, text="a"),
        Delta(index=0, text="b"),
        UsageUpdate(usage=Usage(input=3, output=2)),
        Close(index=0),
        Stop(reason="end", word="stop"),
        Done(),
    ]


def test_cut_anywhere_and_with_any_line_end_it_reads_the_same() -> None:
    plain = chunk(content="ä") + chunk(content="b") + chunk("stop") + DONE
    expected = read(plain)
    for data in (plain, plain.replace(b"\n", b"\r\n")):
        for at in range(1, len(data)):
            assert read(data[:at], data[at:]) == expected


def test_thinking_comes_before_text_under_either_name() -> None:
    for name in ("reasoning_content", "reasoning"):
        reply = answered(chunk(role="assistant"), chunk(**{name: "t"}), chunk(**{name: "u"}), chunk(content="a"))
        assert reply.content == [Thinking(path=f"reply.{name}", text="tu", dialect="chat", field=name), Text(text="a")]


def test_both_names_at_once_are_one_thought() -> None:
    assert answered(chunk(reasoning_content="t", reasoning="t")).content == [
        Thinking(path="reply.reasoning_content", text="t", dialect="chat", field="reasoning_content")
    ]


def test_content_as_parts() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "t"}]}
    parts = [thought, {"type": "text", "text": "a"}, {"type": "reference", "reference_ids": [1]}, 5]
    events = read(chunk(content=parts), DONE)
    reply = collect(events)
    assert isinstance(reply, Reply)
    assert reply.content == [Thinking(path="reply.content", text="t", dialect="chat"), Text(text="a")]
    assert Lost(what="reference") in events


def test_parallel_calls_stay_open_side_by_side() -> None:
    frames = [
        chunk(content="I look."),
        chunk(tool_calls=[tool(0, "c1", "f", "")]),
        chunk(tool_calls=[tool(1, "c2", "g", "")]),
        chunk(tool_calls=[tool(0, None, None, "{}"), tool(1, None, None, '{"b":2}')]),
        chunk("tool_calls"),
    ]
    reply = answered(*frames)
    assert reply.content == [
        Text(text="I look."),
        ToolCall(id="c1", name="f", arguments="{}"),
        ToolCall(id="c2", name="g", arguments='{"b":2}'),
    ]
    assert reply.stop == "tool_calls"


def test_a_call_that_says_nothing_of_its_arguments_has_an_empty_object() -> None:
    reply = answered(chunk("tool_calls", tool_calls=[tool(0, "c1", "f", ""), tool(1, "c2", "g", "")]))
    assert [block.arguments for block in reply.content if isinstance(block, ToolCall)] == ["{}", "{}"]


def test_calls_without_ids_get_different_ones() -> None:
    reply = answered(chunk("stop", tool_calls=[tool(0, "", "f", "{}"), tool(1, "", "f", "{}")]))
    ids = {block.id for block in reply.content if isinstance(block, ToolCall)}
    assert len(ids) == 2 and all(each.startswith("call_") for each in ids)


def test_one_id_for_several_calls_stays_with_the_first() -> None:
    reply = answered(chunk("stop", tool_calls=[tool(0, "c1", "f", "{}"), tool(1, "c1", "g", "{}")]))
    first, second = (block.id for block in reply.content if isinstance(block, ToolCall))
    assert first == "c1" and second.startswith("call_")


def test_a_call_whose_name_comes_late_keeps_all_of_its_arguments() -> None:
    reply = answered(chunk(tool_calls=[tool(0, "c1", None, "{")]), chunk(tool_calls=[tool(0, None, "f", "}")]))
    assert reply.content == [ToolCall(id="c1", name="f", arguments="{}")]


def test_a_call_that_never_gets_a_name_is_lost_and_said_to_be() -> None:
    assert Lost(what="tool_call") in read(chunk(tool_calls=[tool(0, "c1", None, "{}")]), DONE)


def test_a_legacy_call() -> None:
    frames = [chunk(function_call={"name": "f", "arguments": ""}), chunk(function_call={"arguments": "{}"})]
    reply = answered(*frames, chunk("function_call"))
    (call,) = reply.content
    assert isinstance(call, ToolCall)
    assert (call.name, call.arguments, reply.stop) == ("f", "{}", "tool_calls")


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("stop", "end"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("model_length", "context_window"),
        ("eos", "end"),
    ],
)
def test_finish_reasons(reason: str, stop: str) -> None:
    assert answered(chunk(content="a"), chunk(reason)).stop == stop


def test_stop_with_calls_is_a_stop_for_calls() -> None:
    assert answered(chunk("stop", tool_calls=[tool(0, "c1", "f", "{}")])).stop == "tool_calls"


def test_a_refusal() -> None:
    reply = answered(chunk(refusal="I "), chunk(refusal="won't"), chunk("stop"))
    assert (reply.content, reply.stop) == ([Refusal(text="I won't")], "refusal")


def test_a_finish_reason_with_content_and_content_after_it() -> None:
    reply = answered(chunk(content="a"), chunk("length", content="b"), chunk(content="c"))
    assert (reply.content, reply.stop) == ([Text(text="abc")], "length")


def test_an_empty_finish_reason_is_none() -> None:
    assert failure(chunk("", content="a")).code == "upstream_stream_error"


def test_done_may_be_missing_after_a_finish_reason_alone() -> None:
    assert read(chunk(content="a"), chunk("stop"))[-2:] == [Stop(reason="end", word="stop"), Done()]
    assert failure(chunk(content="a")).message == "The provider's stream ended before its last event"


def test_done_alone_is_an_end_of_what_was_said() -> None:
    assert read(chunk(content="a"), DONE)[-2:] == [Stop(reason="end"), Done()]
    assert failure(DONE).message == "The provider's stream contained no answer"
    assert failure().message == "The provider's stream ended before its last event"


def test_an_end_without_a_blank_line_is_one() -> None:
    assert isinstance(read(chunk(content="a"), chunk("stop")[:-2])[-1], Done)


def test_the_stream_begins_with_the_first_chunk_that_says_who_answers() -> None:
    filtered = frame({"id": "", "model": "", "choices": [], "prompt_filter_results": []})
    assert read(filtered, chunk(content="a"), DONE)[0] == Start(id="chatcmpl-1", model="m", created_s=7)


def test_comments_pings_and_other_choices_are_passed_over() -> None:
    ping = b': ping\n\nevent: ping\ndata: {"type":"ping"}\n\n'
    events = read(ping, chunk(content="a"), chunk(content="z", index=1), chunk(content="z", index=1), ping, DONE)
    reply = collect(events)
    assert isinstance(reply, Reply) and reply.content == [Text(text="a")]
    assert [event for event in events if isinstance(event, Lost)] == [Lost(what="choices")]


def test_probabilities_and_citations_belong_to_the_text() -> None:
    likely = [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}]
    link = {"url": "https://x", "title": "X", "start_index": 0, "end_index": 1}
    reply = answered(
        chunk(content="a", logprobs={"content": likely, "refusal": None}),
        chunk(annotations=[{"type": "url_citation", "url_citation": link}]),
    )
    (text,) = reply.content
    assert isinstance(text, Text)
    assert text.logprobs == likely
    assert text.annotations == [Citation(path="reply.annotations", url="https://x", title="X", start=0, end=1)]


def test_usage_in_every_chunk_counts_the_last_time() -> None:
    frames = [
        frame({**HEAD, "choices": [{"delta": {"content": "a"}}], "usage": {"prompt_tokens": 3, "completion_tokens": n}})
        for n in range(3)
    ]
    assert answered(*frames).usage == Usage(input=3, output=2)


@pytest.mark.parametrize("name", ["audio", "reasoning_details"])
def test_audio_and_signed_thinking_have_no_equivalent_and_are_lost(name: str) -> None:
    delta: dict[str, Any] = {name: [{"data": "AA"}]}
    events = read(chunk(**delta), chunk(**delta), DONE)
    assert [event for event in events if isinstance(event, Lost)] == [Lost(what=name)]


@pytest.mark.parametrize("before", [(), (chunk(content="a"),)], ids=["first", "mid-stream"])
@pytest.mark.parametrize(
    ("error", "failed"),
    [
        ({"message": "Slow down", "type": "rate_limit_error", "code": None}, ("Slow down", "rate_limit_error", 429)),
        ({"message": "Busy", "code": 503}, ("Busy", "upstream_stream_error", 503)),
        ({"message": "Busy", "code": "503"}, ("Busy", "503", 503)),
        ({"message": "No", "type": "server_error"}, ("No", "server_error", 500)),
        ("broken", ("broken", "upstream_stream_error", 502)),
    ],
    ids=str,
)
def test_an_error_ends_the_stream(before: tuple[bytes, ...], error: Any, failed: tuple[str, str, int]) -> None:
    fail = failure(*before, frame({"error": error}), chunk(content="b"), DONE)
    assert (fail.message, fail.code, fail.status) == failed


def test_an_error_event_and_a_broken_choice_are_errors() -> None:
    assert failure(b"event: error\n" + frame({"message": "Gone", "code": 500})).status == 500
    assert failure(b"event: error\ndata: gone\n\n").message == "gone"
    assert failure(chunk(content="a"), chunk("error"), DONE).status == 502


@pytest.mark.parametrize("data", [b"data: {\n\n", b"data: []\n\n", b"data: 5\n\n", b"data: \xff\n\n"])
def test_what_is_no_chunk_fails_once(data: bytes) -> None:
    assert "not a chat completion chunk" in failure(chunk(content="a"), data, data, DONE).message


def test_nothing_comes_after_the_end() -> None:
    reader = ChatStreamDecoder()
    reader.feed(chunk(content="a") + DONE)
    assert list(reader.feed(chunk(content="b"))) == list(reader.close()) == []


def _ordered(events: list[Event]) -> None:
    """Check that each block opens once, grows while it is open, and closes."""
    opened: set[int] = set()
    used: set[int] = set()
    for event in events:
        match event:
            case Open():
                assert event.index == len(used)
                assert not isinstance(event.block, Opaque)
                opened.add(event.index)
                used.add(event.index)
            case Delta():
                assert event.index in opened
            case Close():
                opened.remove(event.index)
            case Stop():
                assert not opened
            case _:
                pass


_VALUES: Any = st.one_of(
    st.none(),
    st.text(max_size=4),
    st.integers(-1, 2),
    st.booleans(),
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "index": st.none() | st.integers(-1, 2) | st.text(max_size=1),
                "id": st.none() | st.sampled_from(["", "c1", "c2"]) | st.integers(),
                "type": st.sampled_from(["text", "thinking", "function", "x"]),
                "text": st.text(max_size=3),
                "function": st.none()
                | st.fixed_dictionaries(
                    {},
                    optional={
                        "name": st.sampled_from(["f", "g", None, 5]),
                        "arguments": st.text(max_size=3) | st.none(),
                    },
                ),
            },
        ),
        max_size=3,
    ),
)
_DELTAS = st.dictionaries(
    st.sampled_from(
        ["content", "refusal", "reasoning", "reasoning_content", "tool_calls", "function_call", "annotations", "audio"]
    ),
    _VALUES,
    max_size=4,
)


@draws(300)
@given(st.lists(st.tuples(_DELTAS, st.sampled_from([None, "stop", "tool_calls", "x"])), max_size=6), st.booleans())
def test_whatever_chunks_say_the_events_are_in_order(
    chunks: list[tuple[dict[str, Any], str | None]], done: bool
) -> None:
    events = read(*(chunk(reason, **delta) for delta, reason in chunks), *([DONE] if done else []))
    _ordered(events)
    assert isinstance(events[-1], Done | Fail)


@given(
    st.lists(
        st.binary(max_size=40) | st.sampled_from([b"data: ", b"\n\n", b"{}", b'{"choices":', b"[", b"]}"]), max_size=12
    )
)
def test_any_bytes_are_events(pieces: list[bytes]) -> None:
    events = read(*pieces)
    _ordered(events)
    assert sum(isinstance(event, Done | Fail) for event in events) == 1


@pytest.mark.parametrize("empty", [b"data:\n\n", b"data: : keepalive\n\n", b"data:  \n\n"])
def test_frames_without_content_are_skipped(empty: bytes) -> None:
    chunk = b'data: {"id":"r","choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}\n\n'
    events = ChatStreamDecoder().feed(empty + chunk + empty + b"data: [DONE]\n\n")
    assert isinstance(events[0], Start) and isinstance(events[-1], Done)


def test_an_empty_custom_call_beside_a_streamed_function_is_none() -> None:
    chunk = (
        b'data: {"id":"r","choices":[{"delta":{"tool_calls":[{"index":0,"id":"c","type":"function",'
        b'"function":{"name":"f","arguments":"{}"},"custom":{"name":"","input":""}}]}}]}\n\n'
    )
    opened = [event.block for event in ChatStreamDecoder().feed(chunk) if isinstance(event, Open)]
    assert [(block.name, block.custom) for block in opened if isinstance(block, ToolCall)] == [("f", False)]


def test_an_error_that_is_the_whole_frame_keeps_its_words() -> None:
    [failure] = ChatStreamDecoder().feed(frame({"object": "error", "message": "too long", "code": 400}))
    assert isinstance(failure, Fail) and failure.message == "too long"
