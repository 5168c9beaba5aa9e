"""What the encoders of streams have in common."""

from __future__ import annotations

from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.model import Citation, Request, Text
from llmproxy.dialects.stream_encode import StreamEncoder, encode_string
from llmproxy.dialects.stream_events import Cite, Close, Delta, Done, Event, Fail, Lost, Open, Start, Stop, UsageUpdate
from llmproxy.dialects.usage import Usage


class Names(StreamEncoder):
    """Writes the name of each event."""

    def _start(self, event: Start) -> None:
        self._frames.append(b"start ")

    def _open(self, event: Open) -> None:
        self._frames.append(b"open ")

    def _grow(self, event: Delta) -> None:
        self._frames.append(b"grow ")

    def _cite(self, event: Cite) -> None:
        self._frames.append(b"cite ")

    def _close(self, event: Close) -> None:
        self._frames.append(b"close ")

    def _stop(self, event: Stop) -> None:
        self._frames.append(b"stop ")

    def _end(self) -> None:
        self._frames.append(b"end %d" % ((self._usage and self._usage.output) or 0))

    def _fail(self, event: Fail) -> None:
        self._frames.append(b"fail")


def test_each_event_is_written_once_and_in_order() -> None:
    losses, encoder = Losses(), Names(Request(dialect="x", model="m"))
    events: list[Event] = [
        Start(id="1", model="m"),
        Open(index=0, block=Text(text="")),
        Delta(index=0, text="a"),
        Cite(index=0, citation=Citation()),
        Close(index=0),
        Lost(what="odd"),
        Stop(reason="end"),
        UsageUpdate(usage=Usage(output=7)),
    ]
    assert encoder.encode(events, losses) == b"start open grow cite close stop "
    assert encoder.encode([Done()], losses) == b"end 7" and encoder.encode([], losses) == b""
    assert encoder.encode([Fail(message="x")], losses) == b"fail"
    assert losses.dropped == ["reply.odd"]


def test_lone_surrogates_are_replaced() -> None:
    assert encode_string('a"\n') == b'"a\\"\\n"' and encode_string("\ud83d") == '"\ufffd"'.encode()
