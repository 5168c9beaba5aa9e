"""What the encoders of streams have in common: one method per kind of event, and one write for a batch of events.

Begin reading at `StreamEncoder.encode`, which is on the hot path of translation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, assert_never

import msgspec

from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.model import Request
from llmproxy.dialects.stream_events import Cite, Close, Delta, Done, Event, Fail, Lost, Open, Start, Stop, UsageUpdate
from llmproxy.dialects.usage import Usage
from llmproxy.wire.json import write_unicode


class StreamEncoder(ABC):
    """Encodes one stream for a client that sent `request`. The methods append to `_frames`.

    `finish_reason` is the word that the client got, once it has one. `response` is the whole answer as an object, where
    the last event of the dialect holds it.
    """

    def __init__(self, request: Request) -> None:
        self.finish_reason: str | None = None
        self.response: dict[str, Any] | None = None
        self._request = request
        self._frames: list[bytes] = []
        self._usage: Usage | None = None
        self._context = EncodeContext(losses=Losses())

    def encode(self, events: Sequence[Event], losses: Losses) -> bytes:
        """Return the frames for `events`, possibly none yet; their order is valid for the vendor's SDK at every moment.
        What the dialect has no place for is a loss; losses are never strict here."""
        if self._context.losses is not losses:
            self._context = EncodeContext(losses=losses)
        for event in events:
            if type(event) is Delta:
                self._grow(event)
            else:
                self._encode(event)
        frames, self._frames = self._frames, []
        return b"".join(frames)

    @abstractmethod
    def _start(self, event: Start) -> None:
        """Begin the answer."""

    @abstractmethod
    def _open(self, event: Open) -> None:
        """Begin a block, or list it as dropped."""

    @abstractmethod
    def _grow(self, event: Delta) -> None:
        """Write more of a block. Called for nearly every event."""

    @abstractmethod
    def _cite(self, event: Cite) -> None:
        """Write, or keep, a citation of an open text."""

    @abstractmethod
    def _close(self, event: Close) -> None:
        """End a block."""

    @abstractmethod
    def _stop(self, event: Stop) -> None:
        """Write, or keep, why the model stopped."""

    @abstractmethod
    def _end(self) -> None:
        """End the stream in the way of the dialect."""

    @abstractmethod
    def _fail(self, event: Fail) -> None:
        """End the stream with an error."""

    def _encode(self, event: Event) -> None:
        match event:
            case Start():
                self._usage = event.usage
                self._start(event)
            case Open():
                self._open(event)
            case Delta():
                self._grow(event)
            case Cite():
                self._cite(event)
            case Close():
                self._close(event)
            case _:
                self._finish(event)

    def _finish(self, event: UsageUpdate | Stop | Done | Fail | Lost) -> None:
        match event:
            case UsageUpdate():
                self._usage = event.usage
            case Stop():
                self._stop(event)
            case Done():
                self._end()
            case Fail():
                self._fail(event)
            case Lost():
                self._drop(event.what)
            case _:
                assert_never(event)

    def _drop(self, what: str) -> None:
        """List something of the reply as dropped."""
        self._context.losses.drop(f"reply.{what}")


def encode_string(text: str) -> bytes:
    """Return the JSON string of `text`; lone surrogates are replaced."""
    try:
        return msgspec.json.encode(text)
    except UnicodeEncodeError:
        return write_unicode(text)
