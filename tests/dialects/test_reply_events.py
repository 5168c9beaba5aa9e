"""The neutral vocabulary: a reply and the events that tell it are the same thing."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.dialects.model import Citation, Media, Opaque, Refusal, Reply, Text, Thinking, ToolCall
from llmproxy.dialects.reply_events import collect, events_of
from llmproxy.dialects.stream_events import Close, Delta, Done, Event, Fail, Lost, Open, Start, Stop, UsageUpdate
from llmproxy.dialects.usage import Usage

TEXTS = st.text(max_size=5)
LIKELY = [{"token": "a", "logprob": -1.0}]
BLOCKS: Any = st.one_of(
    st.builds(Text, text=TEXTS, annotations=st.lists(st.builds(Citation, url=TEXTS), max_size=2)),
    st.builds(Text, text=st.just("a"), logprobs=st.just(LIKELY)),
    st.builds(Thinking, text=TEXTS, dialect=st.just("x"), signature=st.sampled_from([None, "s"]), id=st.just("i")),
    st.builds(Thinking, text=st.just(""), dialect=st.just("x"), encrypted=st.just("e"), redacted=st.booleans()),
    st.builds(Refusal, text=TEXTS),
    st.builds(ToolCall, id=TEXTS, name=TEXTS, arguments=TEXTS, custom=st.booleans()),
    st.builds(Opaque, dialect=st.just("x"), kind=st.just("k"), value=st.just({"a": 1})),
    st.builds(Media, kind=st.just("image"), data=st.just("AA==")),
)
REPLIES = st.builds(
    Reply,
    id=TEXTS,
    model=TEXTS,
    content=st.lists(BLOCKS, max_size=4),
    stop=st.sampled_from(["end", "length", "tool_calls", "refusal"]),
    stop_sequence=st.sampled_from([None, "END"]),
    usage=st.sampled_from([None, Usage(input=1, output=2)]),
    created_s=st.sampled_from([None, 7]),
)


@given(REPLIES)
def test_events_tell_a_reply_and_leave_it_as_it_was(reply: Reply) -> None:
    before = msgspec.json.encode(reply)
    assert collect(events_of(reply)) == reply
    assert msgspec.json.encode(reply) == before


@given(REPLIES)
def test_events_come_in_order(reply: Reply) -> None:
    events = events_of(reply)
    assert isinstance(events[0], Start) and isinstance(events[-1], Done)
    opened = [event.index for event in events if isinstance(event, Open)]
    assert opened == [event.index for event in events if isinstance(event, Close)] == list(range(len(reply.content)))
    stop = next(index for index, event in enumerate(events) if isinstance(event, Stop))
    assert all(isinstance(event, UsageUpdate | Done) for event in events[stop + 1 :])


def test_interleaved_blocks_grow_apart() -> None:
    events: list[Event] = [
        Start(id="1", model="m", usage=Usage(input=3)),
        Open(index=0, block=ToolCall(id="a", name="f", arguments="{")),
        Open(index=1, block=ToolCall(id="b", name="g", arguments="")),
        Delta(index=1, text="[]"),
        Delta(index=0, text="}"),
        Lost(what="container"),
        Close(index=1),
        Close(index=0),
        Stop(reason="tool_calls"),
        UsageUpdate(usage=Usage(input=3, output=4)),
        Done(),
    ]
    reply = collect(events)
    assert isinstance(reply, Reply)
    assert [block.arguments for block in reply.content if isinstance(block, ToolCall)] == ["{}", "[]"]
    assert (reply.stop, reply.usage) == ("tool_calls", Usage(input=3, output=4))


def test_what_the_first_event_counted_counts_until_more_is_known() -> None:
    reply = collect([Start(id="1", model="m", usage=Usage(input=3)), Stop(reason="end"), Done()])
    assert isinstance(reply, Reply) and reply.usage == Usage(input=3)


def test_a_stream_that_failed_is_its_failure() -> None:
    fail = Fail(message="Gone")
    assert collect([Start(id="1", model="m"), Open(index=0, block=Text(text="")), fail]) is fail
