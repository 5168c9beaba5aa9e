"""How a stream of bytes is cut into frames: the interface of every framing.

A `Framing` is a value of functions on bytes, so that whoever passes a stream on need not know what it looks like.
`wire/sse.py` has the one for server-sent events. What a frame says is the dialect's to read, and so is the frame that
reports an error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Frame:
    """One event of a stream: its name ("" when the framing has no names, or it has none) and its data."""

    event: str
    data: bytes


class FrameSplitter(Protocol):
    """Cuts pushed bytes into frames, wherever the network cut them. Frames without data are left out."""

    def feed(self, data: bytes, /) -> list[Frame]:
        """Return the frames that `data` completes. Raises BrokenStream when one grows too long."""

    def flush(self) -> list[Frame]:
        """Return what is left when the stream has ended: the frame that nothing closed, if there is one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Framing:
    """One way to cut a stream into frames.

    `media_type` is how the Content-Type of such a stream begins, in lower case, and `content_type` the whole value for
    streams that we write. `begins(data)` tells whether an answer without a usable Content-Type is such a stream and not
    one JSON value. `splitter` makes a new splitter for one stream. `event_end(data)` returns the offset after
    the first whole frame that carries data, and `last_frame_end(data, start)` the offset after the last whole frame
    that ends after `start`; both -1 when there is none. `ends_frame(tail)` tells whether a stream is between two frames
    after the bytes `tail`, of which the last `tail_bytes` are enough. `keepalive(tail)` returns bytes that clients
    ignore after `tail`; b"" where nothing fits, or when the framing has nothing.
    """

    name: str
    media_type: str
    content_type: str
    begins: Callable[[bytes], bool]
    splitter: Callable[[], FrameSplitter]
    event_end: Callable[[bytes], int]
    last_frame_end: Callable[[bytes | bytearray, int], int]
    ends_frame: Callable[[bytes], bool]
    tail_bytes: int
    keepalive: Callable[[bytes], bytes]
