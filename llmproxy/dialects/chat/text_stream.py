"""A stream of plain text: an event for each piece of the answer, then `[DONE]`; an error is an event named `error`.

The lines of a piece are data lines of one event, so that a reader of server-sent events gets the text as it was. What
is no text of the answer has no place in it.
"""

from __future__ import annotations

import re

from llmproxy.dialects.chat.proxy_error import write_proxy_error_event
from llmproxy.dialects.chat.response_encode import encode_stop
from llmproxy.dialects.chat.stream_watch import DONE
from llmproxy.dialects.model import Refusal, Request, Text
from llmproxy.dialects.response_fields import drop_stop_details, kind_of
from llmproxy.dialects.stream_decode import StreamDecoder
from llmproxy.dialects.stream_encode import StreamEncoder
from llmproxy.dialects.stream_events import Cite, Close, Delta, Done, Fail, Open, Start, Stop
from llmproxy.errors import ProxyError
from llmproxy.wire.framing import Frame
from llmproxy.wire.sse import write_frame

_LINE_END = re.compile("\r\n|\r|\n")
_END = DONE.decode()


class TextStreamEncoder(StreamEncoder):
    """One stream for a client that sent `request`."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self._texts: set[int] = set()
        self._refused = False
        self._after_return = False

    def _start(self, event: Start) -> None:
        """Write nothing: the stream has no head."""

    def _open(self, event: Open) -> None:
        block = event.block
        if not isinstance(block, Text | Refusal):
            self._drop(kind_of(block))
            return
        self._refused = self._refused or isinstance(block, Refusal)
        self._texts.add(event.index)
        self._write(block.text)

    def _grow(self, event: Delta) -> None:
        if event.index in self._texts:
            self._write(event.text)

    def _write(self, text: str) -> None:
        """Write a piece. A line end may be cut in two; a piece that reads like the end of the stream becomes two."""
        if self._after_return and text:
            text = text.removeprefix("\n")
            self._after_return = False
        if not text:
            return
        self._after_return = text.endswith("\r")
        cut = text.index(_END) + 1 if text.strip() == _END else len(text)
        for piece in (text[:cut], text[cut:]):
            if piece:
                lines = _LINE_END.split(piece)
                self._frames += (f"data: {line}\n".encode("utf-8", "replace") for line in lines)
                self._frames.append(b"\n")

    def _cite(self, event: Cite) -> None:
        self._drop("annotations")

    def _close(self, event: Close) -> None:
        self._texts.discard(event.index)

    def _stop(self, event: Stop) -> None:
        drop_stop_details(self._context.losses, event.reason, event.sequence)
        self.finish_reason = encode_stop(event.reason, refused=self._refused, legacy=False)

    def _end(self) -> None:
        self._frames.append(write_frame(DONE))

    def _fail(self, event: Fail) -> None:
        error = ProxyError(event.message, status=event.status, code=event.code)
        self._frames.append(write_proxy_error_event(error, ""))


def _always_says_something(data: bytes) -> bool:
    return False


class TextStreamDecoder(StreamDecoder):
    """Reads such a stream again, of a record or of a cache."""

    _is_empty = staticmethod(_always_says_something)

    def _decode_frame(self, frame: Frame) -> None:
        if frame.event == "error":
            self._fail_unreadable(frame, "is an error")
            return
        if not self._started:
            self._started = True
            self._events.append(Start(id="", model=""))
            self._open_block(Text(text=""))
        if frame.data == DONE:
            self._over = True
            self._events += (Close(index=0), Stop(reason="end"), Done())
        else:
            self._events.append(Delta(index=0, text=frame.data.decode("utf-8", "replace")))
