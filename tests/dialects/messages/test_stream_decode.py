"""Streams of message events, read as events of the neutral vocabulary."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.dialects.messages.stream_decode import MessagesStreamDecoder
from llmproxy.dialects.model import Citation, Opaque, Text, Thinking, ToolCall
from llmproxy.dialects.reply_events import collect
from llmproxy.dialects.stream_events import Cite, Close, Delta, Done, Event, Fail, Lost, Open, Start, Stop, UsageUpdate
from llmproxy.dialects.usage import Usage


def event(kind: str, **members: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


def opened(index: int, **block: Any) -> bytes:
    return event("content_block_start", index=index, content_block=block)


def grown(index: int, kind: str, **delta: Any) -> bytes:
    return event("content_block_delta", index=index, delta={"type": kind, **delta})


def closed(index: int) -> bytes:
    return event("content_block_stop", index=index)


def ended(reason: str | None, usage: dict[str, Any] | None = None, **delta: Any) -> bytes:
    actual = {"output_tokens": 5} if usage is None else usage
    return event("message_delta", delta={"stop_reason": reason, "stop_sequence": None, **delta}, usage=actual)


START = event("message_start", message={"id": "msg_1", "model": "m", "usage": {"input_tokens": 3, "output_tokens": 1}})
STOP = event("message_stop")
STARTED = Start(id="msg_1", model="m", usage=Usage(input=3, output=1))
TEXT = [opened(0, type="text", text=""), grown(0, "text_delta", text="Hi"), closed(0)]
TOLD: list[Event] = [
    Open(index=0, block=Text(path="reply.content[0]", text="")),
    Delta(index=0, text="Hi"),
    Close(index=0),
]


def read(*frames: bytes) -> list[Event]:
    reader = MessagesStreamDecoder()
    return [*(event for frame in frames for event in reader.feed(frame)), *reader.close()]


def content(*frames: bytes) -> list[Event]:
    """Return what is told of a whole stream's blocks."""
    events = read(START, *frames, ended("end_turn"), STOP)
    assert events[0] == STARTED and isinstance(events[-1], Done) and isinstance(events[-2], Stop)
    return [each for each in events[1:-2] if not isinstance(each, UsageUpdate)]


def test_a_stream_of_text() -> None:
    ping = event("ping")
    assert read(START, ping, *TEXT, ping, ended("end_turn"), STOP) == [
        STARTED,
        *TOLD,
        UsageUpdate(usage=Usage(input=3, output=5)),
        Stop(reason="end", word="end_turn"),
        Done(),
    ]


WHOLE = b"".join([START, *TEXT, ended("end_turn"), STOP])


@given(st.integers(1, len(WHOLE)), st.booleans(), st.booleans())
def test_the_network_may_cut_anywhere(size: int, returns: bool, named: bool) -> None:
    data = WHOLE if named else b"\n".join(line for line in WHOLE.split(b"\n") if not line.startswith(b"event"))
    data = data.replace(b"\n", b"\r\n") if returns else data
    assert read(*(data[at : at + size] for at in range(0, len(data), size))) == read(WHOLE)


def test_an_event_may_be_known_by_its_name_alone() -> None:
    data = b'event: content_block_delta\ndata: {"index":0,"delta":{"type":"text_delta","text":"Hi"}}\n\n'
    assert content(TEXT[0], data, TEXT[2]) == TOLD


def test_parallel_calls_with_their_arguments() -> None:
    call = opened(1, type="tool_use", id="t1", name="f", input={}, caller={"type": "direct"})
    pieces = [grown(1, "input_json_delta", partial_json=piece) for piece in ("", '{"a":', "1}")]
    empty = [opened(2, type="tool_use", id="t2", name="g", input={}), closed(2)]
    assert content(*TEXT, call, *pieces, closed(1), *empty) == [
        *TOLD,
        Open(index=1, block=ToolCall(path="reply.content[1]", id="t1", name="f", arguments="")),
        Delta(index=1, text='{"a":'),
        Delta(index=1, text="1}"),
        Close(index=1),
        Open(index=2, block=ToolCall(path="reply.content[2]", id="t2", name="g", arguments="")),
        Delta(index=2, text="{}"),
        Close(index=2),
    ]


def test_a_call_without_arguments_is_told_as_an_empty_object() -> None:
    call = opened(0, type="tool_use", id="t", name="f", input={})
    actual = content(call, grown(0, "input_json_delta", partial_json=""), closed(0))
    assert actual[1:] == [Delta(index=0, text="{}"), Close(index=0)]


def test_arguments_that_come_at_once_are_told_once() -> None:
    call = opened(0, type="tool_use", id="t", name="f", input={"a": 1})
    actual = content(call, closed(0))
    assert actual[1:] == [Delta(index=0, text='{"a":1}'), Close(index=0)]
    both = content(call, grown(0, "input_json_delta", partial_json='{"a":2}'), closed(0))
    assert both[1:] == [Delta(index=0, text='{"a":2}'), Close(index=0)]


def test_thinking_is_closed_with_its_signature() -> None:
    thinking = [
        opened(0, type="thinking", thinking="", signature=""),
        grown(0, "thinking_delta", thinking="hm"),
        grown(0, "signature_delta", signature="s="),
        closed(0),
    ]
    redacted = [opened(1, type="redacted_thinking", data="d="), closed(1)]
    assert content(*thinking, *redacted) == [
        Open(index=0, block=Thinking(path="reply.content[0]", text="", dialect="messages")),
        Delta(index=0, text="hm"),
        Close(index=0, signature="s="),
        Open(
            index=1,
            block=Thinking(path="reply.content[1]", text="", dialect="messages", encrypted="d=", redacted=True),
        ),
        Close(index=1),
    ]


def test_citations_of_a_text() -> None:
    cited = {"type": "char_location", "cited_text": "c", "document_index": 0, "document_title": "T"}
    actual = content(TEXT[0], grown(0, "citations_delta", citation=cited), grown(0, "citations_delta"), TEXT[2])
    citation = Citation(
        path="reply.content.citations", title="T", quote="c", extra={"type": "char_location", "document_index": 0}
    )
    assert actual[1:] == [Cite(index=0, citation=citation), Lost(what="citation"), Close(index=0)]


def test_a_built_in_tool_is_told_when_its_input_is_whole() -> None:
    use = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    result = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
    pieces = [grown(0, "input_json_delta", partial_json=piece) for piece in ('{"query"', ':"q"}')]
    assert content(opened(0, **use), *pieces, closed(0), opened(1, **result), closed(1)) == [
        Open(
            index=0,
            block=Opaque(
                path="reply.content[0]",
                dialect="messages",
                kind="server_tool_use",
                value={**use, "input": {"query": "q"}},
            ),
        ),
        Close(index=0),
        Open(
            index=1,
            block=Opaque(path="reply.content[1]", dialect="messages", kind="web_search_tool_result", value=result),
        ),
        Close(index=1),
    ]


def test_what_is_not_known_is_listed_once() -> None:
    odd = grown(0, "new_delta", text="x")
    actual = content(TEXT[0], odd, odd, event("new_event"), grown(0, "thinking_delta", thinking="x"), *TEXT[1:])
    lost = [Lost(what="new_delta"), Lost(what="new_event"), Lost(what="thinking_delta")]
    assert actual == [TOLD[0], *lost, *TOLD[1:]]


def test_what_only_messages_says_of_a_reply_is_listed() -> None:
    used = {"output_tokens": 5, "server_tool_use": {"web_search_requests": 1}}
    last = ended("refusal", used, stop_details={"type": "refusal"}, container={"id": "c"})
    events = read(START, last, STOP)
    lost = {each.what for each in events if isinstance(each, Lost)}
    assert lost == {"stop_details", "container", "usage.server_tool_use"}
    assert Stop(reason="refusal", word="refusal") in events


def test_counts_grow_and_what_is_left_out_stays() -> None:
    usage = {"input_tokens": 1, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 300}
    start = event("message_start", message={"id": "a", "model": "m", "usage": {**usage, "output_tokens": 1}})
    more = {"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}}
    events = read(start, ended(None, {"output_tokens": 4}), ended("end_turn", more), STOP)
    counted = [each.usage for each in events if isinstance(each, UsageUpdate)]
    whole = Usage(input=321, output=9, cache_read=20, cache_write=300, reasoning=4)
    assert counted == [Usage(input=321, output=4, cache_read=20, cache_write=300), whole]


@pytest.mark.parametrize(
    ("reason", "sequence", "stop"),
    [
        ("stop_sequence", "END", Stop(reason="stop_sequence", sequence="END", word="stop_sequence")),
        ("pause_turn", None, Stop(reason="pause", word="pause_turn")),
        ("max_tokens", None, Stop(reason="length", word="max_tokens")),
        ("model_context_window_exceeded", None, Stop(reason="context_window", word="model_context_window_exceeded")),
    ],
)
def test_why_the_model_stopped(reason: str, sequence: str | None, stop: Stop) -> None:
    assert read(START, *TEXT, ended(reason, stop_sequence=sequence), STOP)[-2:] == [stop, Done()]


def test_blocks_that_nobody_closed_are_closed_before_the_stop() -> None:
    events = read(START, *TEXT[:2], ended("end_turn"), STOP)
    assert events[-3:] == [Close(index=0), Stop(reason="end", word="end_turn"), Done()]


@pytest.mark.parametrize(
    ("kind", "status"), [("overloaded_error", 529), ("rate_limit_error", 429), ("api_error", 500), ("new", 502)]
)
@pytest.mark.parametrize("before", [[], [START, *TEXT[:2]]], ids=["first", "mid-stream"])
def test_an_error_ends_the_stream(before: list[bytes], kind: str, status: int) -> None:
    error = event("error", error={"type": kind, "message": "why"})
    events = read(*before, error, *TEXT, STOP)
    assert events[-1] == Fail(message="why", code=kind, status=status)
    assert len(events) == (4 if before else 1)


def test_a_stream_without_its_last_event_failed() -> None:
    events = read(START, *TEXT, ended("end_turn"))
    assert isinstance(events[-1], Fail) and not any(isinstance(each, Done) for each in events)
    assert [type(each) for each in read()] == [type(each) for each in read(STOP)] == [Fail]


@pytest.mark.parametrize("data", [b"data: x\n\n", b"data: []\n\n", b"event: error\ndata: broken\n\n"])
def test_what_cannot_be_read_is_a_failure(data: bytes) -> None:
    assert isinstance(read(START, data, *TEXT, STOP)[-1], Fail)


def test_a_block_that_is_none_is_a_failure() -> None:
    assert isinstance(read(START, opened(0, type="text", text=5))[-1], Fail)
    assert isinstance(read(START, event("content_block_start", index=0, content_block=5))[-1], Fail)


def test_nothing_follows_the_last_event() -> None:
    assert read(WHOLE, *TEXT, b"data: x\n\n") == read(WHOLE)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KINDS = [
    *("message_start", "content_block_start", "content_block_delta", "content_block_stop"),
    *("message_delta", "message_stop", "error", "ping"),
]
MEMBERS = ["index", "delta", "content_block", "message", "usage", "error", "type"]
BLOCKS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "tool_use", "thinking", "server_tool_use"])}, optional={"id": JSON, "input": JSON}
)
DELTAS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text_delta", "input_json_delta", "citations_delta"])},
    optional={"text": JSON, "partial_json": st.text(max_size=4), "citation": JSON},
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(KINDS),
            st.fixed_dictionaries(
                {"index": st.integers(0, 2) | JSON}, optional={"content_block": BLOCKS, "delta": DELTAS}
            )
            | st.dictionaries(st.sampled_from(MEMBERS), JSON),
        ),
        max_size=12,
    )
)
def test_any_events_give_events_in_order(frames: list[tuple[str, dict[str, Any]]]) -> None:
    check(read(*(f"data: {json.dumps({'type': kind, **members})}\n\n".encode() for kind, members in frames)))


@given(st.lists(st.binary(max_size=30), max_size=5))
def test_any_bytes_give_events_and_one_end(pieces: list[bytes]) -> None:
    check(read(*pieces))


def check(events: list[Event]) -> None:
    """Check the neutral order: a start, blocks opened before they grow and closed once, one end."""
    assert isinstance(events[-1], Done | Fail)
    assert not any(isinstance(each, Done | Fail) for each in events[:-1])
    open_blocks: set[int] = set()
    actual = [each for each in events if not isinstance(each, Lost | Fail)]
    assert all(isinstance(each, Start) == (at == 0) for at, each in enumerate(actual))
    for each in actual:
        if isinstance(each, Open):
            open_blocks.add(each.index)
        elif isinstance(each, Delta | Cite | Close):
            assert each.index in open_blocks
            if isinstance(each, Close):
                open_blocks.remove(each.index)
        elif isinstance(each, Stop):
            assert not open_blocks
    collect(events)
