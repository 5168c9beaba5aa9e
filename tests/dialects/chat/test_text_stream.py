"""Streams of plain text, written and read."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.dialects.chat.text_stream import TextStreamDecoder, TextStreamEncoder
from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.model import Citation, Refusal, Reply, Request, Text, Thinking
from llmproxy.dialects.reply_events import collect
from llmproxy.dialects.stream_events import Cite, Close, Delta, Done, Event, Fail, Open, Start, Stop
from llmproxy.wire.sse import Splitter

START = Start(id="a", model="m")
END: list[Event] = [Close(index=0), Stop(reason="end"), Done()]


def written(events: Sequence[Event]) -> tuple[bytes, list[str]]:
    encoder, losses = TextStreamEncoder(Request(dialect="chat", model="m")), Losses()
    return b"".join(encoder.encode([event], losses) for event in events), losses.dropped


def said(*pieces: str) -> list[Event]:
    return [START, Open(index=0, block=Text(text="")), *(Delta(index=0, text=each) for each in pieces), *END]


@pytest.mark.parametrize(
    ("pieces", "frames"),
    [
        (("stub ", "response"), b"data: stub \n\ndata: response\n\n"),
        (("one\ntwo",), b"data: one\ndata: two\n\n"),
        (("\n",), b"data: \ndata: \n\n"),
        (("a\r", "\nb"), b"data: a\ndata: \n\ndata: b\n\n"),
        (("a\r\nb",), b"data: a\ndata: b\n\n"),
        (("a\r", "b"), b"data: a\ndata: \n\ndata: b\n\n"),
        (("[DONE]",), b"data: [\n\ndata: DONE]\n\n"),
        (("", "x"), b"data: x\n\n"),
    ],
)
def test_each_piece_is_an_event_and_each_of_its_lines_a_line_of_data(pieces: tuple[str, ...], frames: bytes) -> None:
    assert written(said(*pieces)) == (frames + b"data: [DONE]\n\n", [])


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5))
def test_a_reader_of_events_gets_the_text_with_its_lines(pieces: list[str]) -> None:
    data, _ = written(said(*pieces))
    *texts, last = Splitter().feed(data)
    whole = "".join(pieces).replace("\r\n", "\n").replace("\r", "\n")
    assert b"".join(each.data for each in texts).decode() == whole and last.data == b"[DONE]"
    assert b"[DONE]" not in [each.data for each in texts]
    reply = collect(list(TextStreamDecoder().feed(data)))
    assert isinstance(reply, Reply)
    assert "".join(block.text for block in reply.content if isinstance(block, Text)) == whole


def test_what_is_no_text_of_the_answer_is_listed_as_dropped() -> None:
    events: list[Event] = [
        START,
        Open(index=0, block=Thinking(text="Hm", dialect="chat")),
        Delta(index=0, text=" so"),
        Close(index=0),
        Open(index=1, block=Refusal(text="No.")),
        Cite(index=1, citation=Citation(url="https://x.test")),
        Close(index=1),
        Stop(reason="refusal"),
        Done(),
    ]
    assert written(events) == (b"data: No.\n\ndata: [DONE]\n\n", ["reply.thinking", "reply.annotations"])


def test_a_failure_ends_the_stream_with_an_event_named_error() -> None:
    data, _ = written([*said("a")[:3], Fail(message="gone", status=502)])
    assert data == b'data: a\n\nevent: error\ndata: {"error":"Bad Gateway","detail":"gone"}\n\n'
    events = TextStreamDecoder().feed(data)
    assert isinstance(events[-1], Fail) and events[-1].message == "gone"


def test_white_space_and_words_of_json_are_text() -> None:
    data, _ = written(said(" ", "null", ":x", "\n"))
    texts = [event.text for event in TextStreamDecoder().feed(data) if isinstance(event, Delta)]
    assert texts == [" ", "null", ":x", "\n"]
