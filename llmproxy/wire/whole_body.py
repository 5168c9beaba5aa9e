"""Take the body of a message that has arrived whole out of aiohttp's reader."""

from __future__ import annotations

from aiohttp.streams import EMPTY_PAYLOAD, StreamReader


def take_whole(payload: StreamReader) -> bytes:
    """Return the rest of a body whose end is here, as `read_nowait` does, which takes 5 µs for its accounts of what may
    still come. Raises what broke the body."""
    if payload is EMPTY_PAYLOAD or payload.exception() is not None:
        return payload.read_nowait()
    pieces = payload._buffer
    body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    pieces.clear()
    return body
