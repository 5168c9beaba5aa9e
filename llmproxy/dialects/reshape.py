"""Give a stored answer in the other form: a whole reply as a stream, a stream as a whole reply.

Nothing is translated and no member is lost: ids, usage, tool calls and unknown members stay. What has no other form is
None, never a guess. Each dialect has a `Reshape`; begin reading there. Through the neutral vocabulary
(`derived.DerivedReshape`) every one of the golden answers of our dialects loses members, so each has its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llmproxy.wire.json import read_value, write_value
from llmproxy.wire.sse import Splitter, write_frame

JsonObject = dict[str, Any]

# The errors of reading members of the wrong type, or too deep ones: providers may send anything.
MALFORMED = (ValueError, TypeError, LookupError, AttributeError, RecursionError)


class Reshape:
    """Reads of requests and answers what a cache needs, and gives answers in another form.

    This base knows whole replies only, and nothing of their content. `stream_fields` are the members of a request, as
    dotted paths, that only say how the answer is sent.
    """

    stream_fields: tuple[str, ...] = ("stream",)

    def is_deterministic(self, request: Mapping[str, Any]) -> bool:
        """Return whether the client expects the same answer each time."""
        temperature = request.get("temperature")
        coldest = isinstance(temperature, (int, float)) and not isinstance(temperature, bool) and temperature == 0
        return coldest or request.get("seed") is not None

    def is_repeatable(self, request: Mapping[str, Any]) -> bool:
        """Return whether the answer depends on the request alone, and the request has no effect but its answer."""
        return True

    def names_stored(self, request: Mapping[str, Any]) -> bool:
        """Return whether the request names something that was stored for its client, so that others may not have it."""
        return False

    def counts_usage(self, request: Mapping[str, Any]) -> bool:
        """Return whether a stream that answers `request` contains its usage."""
        return True

    def says_something(self, reply: bytes) -> bool:
        """Return whether a whole reply has any content."""
        return bool(reply)

    def is_whole(self, stream: bytes) -> bool:
        """Return whether a stream that ended finished everything that it began."""
        return True

    def stream_of(self, reply: bytes, *, usage: bool) -> bytes | None:
        """Return a whole reply as a stream, with its usage where `usage` is set; None when it has no such form."""
        value = read_object(reply)
        try:
            return None if value is None else self._to_stream(value, usage)
        except MALFORMED:
            return None

    def reply_of(self, stream: bytes) -> bytes | None:
        """Return a complete stream as a whole reply; None when it has no such form."""
        try:
            return self._to_reply(stream)
        except MALFORMED:
            return None

    def _to_stream(self, reply: JsonObject, usage: bool) -> bytes | None:
        """Do `stream_of` for a decoded reply. May raise one of MALFORMED."""
        return None

    def _to_reply(self, stream: bytes) -> bytes | None:
        """Do `reply_of`. May raise one of MALFORMED."""
        return None


def read_object(data: bytes) -> JsonObject | None:
    """Return a JSON object, None for anything else."""
    value = read_value(data)
    return value if isinstance(value, dict) else None


def events_in(stream: bytes, last: bytes = b"") -> Iterator[JsonObject]:
    """Yield the events of a stream, JSON objects, up to one whose data is `last`. Raises ValueError for other data."""
    splitter = Splitter()
    for frame in (*splitter.feed(stream), *splitter.flush()):
        if last and frame.data.strip() == last:
            return
        event = read_object(frame.data)
        if event is None:
            raise ValueError("an event that is not a JSON object")
        yield event


def typed_frames(events: list[JsonObject], *, numbered: bool = False) -> bytes:
    """Return frames named after the member `type` of their events."""
    numbers = [{"sequence_number": number} if numbered else {} for number in range(len(events))]
    return b"".join(
        write_frame(write_value({"type": event["type"], **number, **event}), event["type"])
        for event, number in zip(events, numbers, strict=True)
    )
