"""How a stream of bytes is cut into frames: the interface of every framing.

A `Framing` is a value of functions on bytes, so that whoever passes a stream on need not know what it looks like.
`wire/sse.py` has the one for server-sent events. What a frame says is the dialect's to read, and so is the frame that
reports an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from llmproxy.errors import BrokenStream


def _no_error(data: bytes) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Frame:
    """One event of a stream: its name ("" when the framing has no names, or it has none) and its data."""

    event: str
    data: bytes


@dataclass(frozen=True, slots=True)
class ErrorFrame(Frame):
    """A frame that the framing itself marks as an error: its name is that of the error, its data a JSON object."""


class FrameSplitter(Protocol):
    """Cuts pushed bytes into frames, wherever the network cut them. Frames without data are left out."""

    def feed(self, data: bytes, /) -> list[Frame]:
        """Return the frames that `data` completes. Raises BrokenStream when one grows too long."""

    def flush(self) -> list[Frame]:
        """Return what is left when the stream has ended: the frame that nothing closed, if there is one. Raises
        BrokenStream where a frame can be cut short."""


class StreamPosition(Protocol):
    """Follows a stream that is passed on unread, from its first byte, to know where it stands."""

    def advance(self, data: bytes, /) -> None:
        """Take the next bytes, cut anywhere. Called for every chunk of every stream."""

    def between_frames(self) -> bool:
        """Return whether a frame of ours fits here: the last one is whole."""

    def keepalive(self) -> bytes:
        """Return bytes that clients ignore here; b"" where nothing fits, or when the framing has nothing."""


class FrameWriter(Protocol):
    """Writes the frames of a stream that was cut otherwise."""

    def write(self, frames: Sequence[Frame], /) -> bytes:
        """Return `frames` in this framing; b"" for none."""

    def close(self) -> bytes:
        """Return the end of the stream."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Framing:
    """One way to cut a stream into frames.

    `media_type` is how the Content-Type of such a stream begins, in lower case, and `content_type` the whole value for
    streams that we write. `begins(data)` tells whether an answer without a usable Content-Type is such a stream and not
    one JSON value. `splitter` makes a new splitter for one stream. `event_end(data)` returns the offset after
    the first whole frame that carries data, and `last_frame_end(data, start)` the offset after the last whole frame
    that ends after `start`; both -1 when there is none. `ends_frame(data)` tells whether `data`, which begins between
    two frames, ends there too. `position` makes what follows one stream. `begins_with_error(data)` tells whether the
    first whole frame is marked as an error by the framing, which most framings leave to the dialect.

    A dialect writes its streams in one framing. One that its clients may have instead has a `writer`, which writes them
    anew, and `last_frame(data)`, which returns the end of a stream behind an element, with JSON about an error.
    """

    name: str
    media_type: str
    content_type: str
    begins: Callable[[bytes], bool]
    splitter: Callable[[], FrameSplitter]
    event_end: Callable[[bytes], int]
    last_frame_end: Callable[[bytes | bytearray, int], int]
    ends_frame: Callable[[bytes], bool]
    position: Callable[[], StreamPosition]
    begins_with_error: Callable[[bytes], bool] = _no_error
    writer: Callable[[], FrameWriter] | None = None
    last_frame: Callable[[bytes], bytes] | None = None


class StreamBeginning:
    """The beginning of a stream, up to its first event that carries data, or to where it is broken.

    A splitter looks for that event, so that no byte is searched more than a few times, wherever the network cut the
    stream.
    """

    __slots__ = ("_data", "_splitter", "found")

    def __init__(self, framing: Framing) -> None:
        self.found = False
        self._splitter = framing.splitter()
        self._data = bytearray()

    @property
    def size_bytes(self) -> int:
        return len(self._data)

    def add(self, data: bytes) -> None:
        """Take the next bytes; `found` says then whether nothing more is to be waited for."""
        self._data += data
        try:
            self.found = self.found or bool(self._splitter.feed(data))
        except BrokenStream:
            self.found = True

    def read(self) -> bytes:
        """Return all bytes that were added."""
        return bytes(self._data)
