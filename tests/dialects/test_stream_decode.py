"""What the decoders of streams have in common."""

from __future__ import annotations

from llmproxy.dialects.model import Text
from llmproxy.dialects.stream_decode import StreamDecoder
from llmproxy.dialects.stream_events import Done, Fail, Lost
from llmproxy.wire.framing import Frame


class Words(StreamDecoder):
    """A stream of words, one a frame; `end` is the last one."""

    def _decode_frame(self, frame: Frame) -> None:
        word = frame.data.decode()
        if word == "end":
            self._over = True
            self._events.append(Done())
        elif word == "odd":
            self._lose("odd")
        elif word == "bad":
            self._fail("Bad", {"type": "overloaded_error"})
        else:
            self._open_block(Text(text=word))


def test_frames_are_decoded_wherever_they_are_cut() -> None:
    decoder = Words()
    assert not decoder.feed(b"data: a\n")
    assert len(decoder.feed(b"\ndata: b\n\ndata: c\n\n")) == 3
    assert decoder.feed(b"data: end\n\ndata: d\n\n") == [Done()]
    assert not decoder.feed(b"data: e\n\n") and not decoder.close()


def test_what_is_lost_is_listed_once() -> None:
    assert Words().feed(b"data: odd\n\ndata: odd\n\n") == [Lost(what="odd")]


def test_a_failure_is_the_last_event() -> None:
    decoder = Words()
    assert decoder.feed(b"data: bad\n\ndata: a\n\n") == [Fail(message="Bad", code="overloaded_error", status=529)]
    assert not decoder.close()


def test_a_stream_without_its_last_event_failed() -> None:
    [failure] = Words().close()
    assert isinstance(failure, Fail) and failure.message == "The provider's stream ended before its last event"
