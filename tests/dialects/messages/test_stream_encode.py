"""Streams of message events, written for the official SDK."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

import anthropic
import pytest
from anthropic.lib.streaming import ParsedMessageStopEvent
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.messages.response_encode import encode_response
from llmproxy.dialects.messages.stream_decode import MessagesStreamDecoder
from llmproxy.dialects.messages.stream_encode import MessagesStreamEncoder
from llmproxy.dialects.model import Citation, Media, Opaque, Refusal, Reply, Request, Text, Thinking, ToolCall
from llmproxy.dialects.reply_events import collect, events_of
from llmproxy.dialects.stream_events import Cite, Close, Delta, Done, Event, Fail, Lost, Open, Start, Stop, UsageUpdate
from llmproxy.dialects.usage import Usage
from llmproxy.wire.sse import Splitter
from tests.support.sdk_clients import anthropic_client

REQUEST = Request(dialect="messages", model="asked")
START = Start(id="chatcmpl-1", model="m")
ANY: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def write(*events: Event, dropped: list[str] | None = None) -> list[dict[str, Any]]:
    """Return the events that a client gets, each valid for the SDK."""
    losses, writer = Losses(), MessagesStreamEncoder(REQUEST)
    data = b"".join(writer.encode([event], losses) for event in events)
    assert losses.dropped == (dropped or [])
    frames = [json.loads(frame.data) for frame in Splitter().feed(data)]
    for frame in frames:
        if frame["type"] != "error":
            ANY.validate_python(frame)
    return frames


def encoded(*events: Event, dropped: list[str] | None = None) -> list[dict[str, Any]]:
    """Return the frames between the start and the end of a message."""
    frames = write(START, *events, Stop(reason="end"), Done(), dropped=dropped)
    assert [frame["type"] for frame in (frames[0], *frames[-2:])] == ["message_start", "message_delta", "message_stop"]
    return frames[1:-2]


def accumulated(events: Sequence[Event], cut: int = 1) -> Message:
    """Return what the SDK makes of the stream."""
    writer, losses = MessagesStreamEncoder(REQUEST), Losses()
    frames = [writer.encode(events[at : at + cut], losses) for at in range(0, len(events), cut)]
    client = anthropic_client(frames)
    with client.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "Hi"}]) as stream:
        last = [event for event in stream][-1]
        assert isinstance(last, ParsedMessageStopEvent)
        return stream.get_final_message()


def opened(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def grown(index: int, kind: str, **delta: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **delta}}


def closed(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def test_a_stream_of_text() -> None:
    frames = write(
        START,
        Open(index=0, block=Text(text="")),
        Delta(index=0, text="H\u00ef"),
        Delta(index=0, text='"\n'),
        Close(index=0),
        Stop(reason="length"),
        UsageUpdate(usage=Usage(input=13, output=4, cache_read=10)),
        Done(),
    )
    begun = frames[0]["message"]
    assert (begun["id"], begun["model"], begun["content"], begun["stop_reason"]) == ("msg_1", "m", [], None)
    assert begun["usage"] == {"input_tokens": 0, "output_tokens": 0}
    assert frames[1:] == [
        opened(0, type="text", text=""),
        grown(0, "text_delta", text="H\u00ef"),
        grown(0, "text_delta", text='"\n'),
        closed(0),
        {
            "type": "message_delta",
            "delta": {"stop_reason": "max_tokens", "stop_sequence": None},
            "usage": {"input_tokens": 3, "cache_read_input_tokens": 10, "output_tokens": 4},
        },
        {"type": "message_stop"},
    ]


def test_each_frame_is_named_after_its_event() -> None:
    data = MessagesStreamEncoder(REQUEST).encode(
        events_of(Reply(id="", model="m", content=[Text(text="a")], stop="end")), Losses()
    )
    for frame in Splitter().feed(data):
        assert json.loads(frame.data)["type"] == frame.event
    assert json.loads(Splitter().feed(data)[0].data)["message"]["id"] > "msg_"


def test_tokens_that_are_known_at_the_start_are_told_there_and_again_at_the_end() -> None:
    start = Start(id="msg_1", model="m", usage=Usage(input=3, output=1))
    frames = write(start, Stop(reason="end"), Done())
    assert frames[0]["message"]["usage"] == frames[1]["usage"] == {"input_tokens": 3, "output_tokens": 1}


def test_the_sdk_reads_the_tokens_and_the_reason() -> None:
    usage = Usage(input=321, output=9, cache_read=20, cache_write=300, reasoning=5)
    message = accumulated([START, Stop(reason="stop_sequence", sequence="END"), UsageUpdate(usage=usage), Done()])
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "END")
    encoded = message.usage
    assert (encoded.input_tokens, encoded.cache_read_input_tokens, encoded.cache_creation_input_tokens) == (1, 20, 300)
    assert encoded.output_tokens_details is not None and encoded.output_tokens_details.thinking_tokens == 5


def test_blocks_that_come_interleaved_are_told_one_after_the_other() -> None:
    frames = encoded(
        Open(index=0, block=ToolCall(id="a", name="f", arguments="")),
        Delta(index=0, text='{"x":'),
        Open(index=1, block=ToolCall(id="b", name="g", arguments='{"y"')),
        Delta(index=1, text=":"),
        Delta(index=0, text="1}"),
        Open(index=2, block=Text(text="")),
        Delta(index=2, text="Hi"),
        Delta(index=1, text="2}"),
        Close(index=1),
        Close(index=0),
        Delta(index=2, text="!"),
        Close(index=2),
    )
    assert frames == [
        opened(0, type="tool_use", id="a", name="f", input={}),
        grown(0, "input_json_delta", partial_json='{"x":'),
        grown(0, "input_json_delta", partial_json="1}"),
        closed(0),
        opened(1, type="tool_use", id="b", name="g", input={}),
        grown(1, "input_json_delta", partial_json='{"y"'),
        grown(1, "input_json_delta", partial_json=":"),
        grown(1, "input_json_delta", partial_json="2}"),
        closed(1),
        opened(2, type="text", text=""),
        grown(2, "text_delta", text="Hi"),
        grown(2, "text_delta", text="!"),
        closed(2),
    ]


def test_empty_blocks_are_no_blocks_but_calls_without_arguments_are() -> None:
    frames = encoded(
        Open(index=0, block=Text(text="")),
        Delta(index=0, text=""),
        Close(index=0),
        Open(index=1, block=ToolCall(id="a", name="f", arguments="")),
        Close(index=1),
    )
    assert frames == [opened(0, type="tool_use", id="a", name="f", input={}), closed(0)]


@pytest.mark.parametrize(
    ("pieces", "given", "lost"),
    [
        (["oo", "ps"], {"_raw": "oops"}, True),
        (["[1]"], {"_raw": "[1]"}, True),
        ([" ", "\n", '{"a":1}'], {"a": 1}, False),
        ([" ", "no"], {"_raw": "no"}, True),
    ],
)
def test_arguments_that_are_no_object_are_kept_as_text(pieces: list[str], given: Any, lost: bool) -> None:
    call: list[Event] = [
        Open(index=0, block=ToolCall(id="a", name="f", arguments="")),
        *(Delta(index=0, text=piece) for piece in pieces),
        Close(index=0),
    ]
    frames = encoded(*call, dropped=["reply.tool_call.arguments"] if lost else None)
    assert json.loads("".join(frame["delta"]["partial_json"] for frame in frames[1:-1])) == given
    message = accumulated([START, *call, Stop(reason="tool_calls"), Done()])
    assert message.content[0].type == "tool_use" and message.content[0].input == given


def test_a_custom_call_carries_its_text_as_an_argument() -> None:
    block = ToolCall(id="a", name="patch", arguments="*** ", custom=True)
    frames = encoded(Open(index=0, block=block), Delta(index=0, text='{"Begin'), Close(index=0))
    assert json.loads(frames[1]["delta"]["partial_json"]) == {"input": '*** {"Begin'}
    empty = encoded(Open(index=0, block=ToolCall(id="a", name="p", arguments="", custom=True)), Close(index=0))
    assert json.loads(empty[1]["delta"]["partial_json"]) == {"input": ""}


def test_thinking_is_signed_before_it_closes() -> None:
    frames = encoded(
        Open(index=0, block=Thinking(text="", dialect="messages")),
        Delta(index=0, text="hm"),
        Close(index=0, signature="s="),
        Open(index=1, block=Thinking(text="", dialect="messages")),
        Close(index=1, signature="t="),
        Open(index=2, block=Thinking(text="", dialect="messages", encrypted="d=", redacted=True)),
        Close(index=2),
        Open(index=3, block=Thinking(text="", dialect="responses", summary=True)),
        Delta(index=3, text="sum"),
        Close(index=3, encrypted="e="),
    )
    assert frames == [
        opened(0, type="thinking", thinking="", signature=""),
        grown(0, "thinking_delta", thinking="hm"),
        grown(0, "signature_delta", signature="s="),
        closed(0),
        opened(1, type="thinking", thinking="", signature=""),
        grown(1, "signature_delta", signature="t="),
        closed(1),
        opened(2, type="redacted_thinking", data="d="),
        closed(2),
        opened(3, type="thinking", thinking="", signature=""),
        grown(3, "thinking_delta", thinking="sum"),
        closed(3),
    ]


def test_thinking_of_which_nothing_can_be_shown_is_listed() -> None:
    sealed = Thinking(text="", dialect="responses")
    assert encoded(Open(index=0, block=sealed), Close(index=0, encrypted="e="), dropped=["reply.thinking"]) == []


def test_a_refusal_is_text_and_the_reason() -> None:
    frames = write(
        START,
        Open(index=0, block=Refusal(text="")),
        Delta(index=0, text="No."),
        Close(index=0),
        Stop(reason="refusal"),
        Done(),
    )
    assert frames[2] == grown(0, "text_delta", text="No.") and frames[-2]["delta"]["stop_reason"] == "refusal"


def test_citations_are_deltas_of_their_text() -> None:
    link = Citation(path="c", url="https://a", title="A", quote="q")
    frames = encoded(
        Open(index=0, block=Text(text="", annotations=[link])),
        Delta(index=0, text="a"),
        Cite(index=0, citation=link),
        Close(index=0),
    )
    cited = {
        "type": "web_search_result_location",
        "url": "https://a",
        "title": "A",
        "cited_text": "q",
        "encrypted_index": "",
    }
    delta = grown(0, "citations_delta", citation=cited)
    assert frames == [opened(0, type="text", text=""), delta, grown(0, "text_delta", text="a"), delta, closed(0)]


def test_own_blocks_of_built_in_tools_stand_and_those_of_others_are_listed() -> None:
    value = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}
    own = Opaque(dialect="messages", kind="server_tool_use", value=value)
    other = Opaque(dialect="responses", kind="web_search_call", value={})
    frames = encoded(
        Open(index=0, block=other),
        Delta(index=0, text="x"),
        Close(index=0),
        Open(index=1, block=Media(kind="image", data="")),
        Close(index=1),
        Open(index=2, block=own),
        Close(index=2),
        Lost(what="choices"),
        dropped=["reply.web_search_call", "reply.image", "reply.choices"],
    )
    assert frames == [{"type": "content_block_start", "index": 0, "content_block": value}, closed(0)]


def test_probabilities_are_listed() -> None:
    encoded(
        Open(index=0, block=Text(text="")),
        Delta(index=0, text="a", logprobs=[1]),
        Close(index=0),
        dropped=["reply.logprobs"],
    )


def test_a_turn_that_ends_with_calls_says_so() -> None:
    call = Open(index=0, block=ToolCall(id="a", name="f", arguments="{}"))
    assert write(START, call, Close(index=0), Stop(reason="end"), Done())[-2]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize(("status", "kind"), [(503, "overloaded_error"), (429, "rate_limit_error"), (502, "api_error")])
def test_a_failure_is_an_error_event_that_the_sdk_raises(status: int, kind: str) -> None:
    events: list[Event] = [START, Open(index=0, block=Text(text="")), Delta(index=0, text="a")]
    fail = Fail(message="why", status=status)
    assert write(*events, fail)[-1] == {"type": "error", "error": {"type": kind, "message": "why"}}
    with pytest.raises(anthropic.APIStatusError, match="why") as raised:
        accumulated([*events, fail])
    assert raised.value.type == kind


def test_lone_surrogates_do_no_harm() -> None:
    frames = encoded(Open(index=0, block=Text(text="")), Delta(index=0, text="a\ud800"), Close(index=0))
    assert frames[1]["delta"]["text"] == "a\ufffd"


WORDS = st.text(max_size=4)
BLOCKS = st.one_of(
    st.builds(Text, text=WORDS),
    st.builds(Refusal, text=WORDS),
    st.builds(Thinking, text=WORDS, dialect=st.sampled_from(["messages", "chat"]), signature=st.none() | WORDS),
    st.builds(
        ToolCall,
        id=st.text("abc", min_size=1, max_size=3),
        name=st.just("f"),
        arguments=st.sampled_from(["", "{}", '{"a":[1]}', "oops", " 5"]),
        custom=st.booleans(),
    ),
    st.just(Opaque(dialect="responses", kind="web_search_call", value={})),
)


@st.composite
def streams(draw: st.DrawFn) -> list[Event]:
    """Draw any blocks in any order that the neutral vocabulary allows, their pieces interleaved."""
    events = events_of(Reply(id="x", model="m", content=draw(st.lists(BLOCKS, max_size=5)), stop="end"))
    strands: dict[int, list[Event]] = {}
    for event in events:
        if isinstance(event, Open | Delta | Cite | Close):
            strands.setdefault(event.index, []).append(event)
    mixed: list[Event] = []
    waiting = list(strands.values())
    while waiting:
        # Blocks open in the order of their indices; those that are open grow and close in any order.
        ready = [
            strand
            for at, strand in enumerate(waiting)
            if not isinstance(strand[0], Open) or not any(isinstance(other[0], Open) for other in waiting[:at])
        ]
        strand = draw(st.sampled_from(ready))
        mixed.append(strand.pop(0))
        waiting = [strand for strand in waiting if strand]
    return [events[0], *mixed, *(each for each in events if isinstance(each, Stop | Done))]


@given(streams(), st.integers(1, 9))
def test_whatever_order_blocks_come_in_the_sdk_reads_the_reply(events: list[Event], cut: int) -> None:
    reply = collect(copy.deepcopy(events))
    assert isinstance(reply, Reply)
    expected = encode_response(reply, REQUEST, EncodeContext(losses=Losses()))
    message = accumulated(events, cut)
    assert [block.to_dict() for block in message.content] == expected["content"]
    assert message.stop_reason == expected["stop_reason"]


@given(streams())
def test_what_is_written_is_read_again(events: list[Event]) -> None:
    data = MessagesStreamEncoder(REQUEST).encode(events, Losses())
    read = MessagesStreamDecoder().feed(data)
    assert isinstance(read[-1], Done)
    assert MessagesStreamDecoder().feed(MessagesStreamEncoder(REQUEST).encode(read, Losses())) == read
