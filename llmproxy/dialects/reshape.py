"""An answer that was given before, in the form that is wanted now: a whole reply as a stream, a stream as a reply.

Nothing is translated and no member is lost: ids, usage, tool calls and members that nobody knows stay. What cannot be
put so is None, never a guess. Each dialect has a `Reshape`; begin reading there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llmproxy.wire.json import read_value, write_value
from llmproxy.wire.sse import Splitter, write_frame

Value = dict[str, Any]

# What reading members of the wrong type, or too deep ones, ends with: providers may send anything.
MALFORMED = (ValueError, TypeError, LookupError, AttributeError, RecursionError)


class Reshape:
    """How answers of one dialect are given again. This base knows whole replies only, and nothing of what they say.

    `of_stream` are the members of a request, as dotted paths, that only say how the answer is to be sent.
    """

    of_stream: tuple[str, ...] = ("stream",)

    def is_deterministic(self, request: Mapping[str, Any]) -> bool:
        """Whether the same answer is wanted each time."""
        temperature = request.get("temperature")
        coldest = isinstance(temperature, (int, float)) and not isinstance(temperature, bool) and temperature == 0
        return coldest or request.get("seed") is not None

    def is_repeatable(self, request: Mapping[str, Any]) -> bool:
        """Whether all that the answer depends on stands in the request, and the answer is all that comes of it."""
        return True

    def counts_usage(self, request: Mapping[str, Any]) -> bool:
        """Whether a stream that answers `request` tells its usage."""
        return True

    def says_something(self, reply: bytes) -> bool:
        """Whether a whole reply holds any answer."""
        return bool(reply)

    def is_whole(self, stream: bytes) -> bool:
        """Whether a stream that has come to an end lacks nothing of what it began."""
        return True

    def stream_of(self, reply: bytes, *, usage: bool) -> bytes | None:
        """The stream that tells the whole reply, with its usage where `usage` is set; None when there is none."""
        value = read_object(reply)
        try:
            return None if value is None else self._tell(value, usage)
        except MALFORMED:
            return None

    def reply_of(self, stream: bytes) -> bytes | None:
        """The whole reply that a complete stream tells; None when that cannot be said."""
        try:
            return self._collect(stream)
        except MALFORMED:
            return None

    def _tell(self, reply: Value, usage: bool) -> bytes | None:
        """`stream_of` for a decoded reply. May fail as Python does for one that is not as the dialect has it."""
        return None

    def _collect(self, stream: bytes) -> bytes | None:
        """`reply_of`, which may fail likewise."""
        return None


def read_object(data: bytes) -> Value | None:
    """A JSON object, None for anything else."""
    value = read_value(data)
    return value if isinstance(value, dict) else None


def events_in(stream: bytes, last: bytes = b"") -> Iterator[Value]:
    """The events of a stream, JSON objects; up to one whose data is `last`. Raises ValueError for any other."""
    splitter = Splitter()
    for frame in (*splitter.feed(stream), *splitter.flush()):
        if last and frame.data.strip() == last:
            return
        event = read_object(frame.data)
        if event is None:
            raise ValueError("an event that is no JSON object")
        yield event


def objects(value: object) -> list[Value]:
    """The objects in a list; nothing for anything else."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def typed_frames(events: list[Value], *, numbered: bool = False) -> bytes:
    """Frames named after the member `type` of their events."""
    numbers = [{"sequence_number": number} if numbered else {} for number in range(len(events))]
    return b"".join(
        write_frame(write_value({"type": event["type"], **number, **event}), event["type"])
        for event, number in zip(events, numbers, strict=True)
    )
