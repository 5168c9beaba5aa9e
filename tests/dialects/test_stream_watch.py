"""Watching streams, in every dialect: whatever the cuts, the line ends and the nonsense."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.dialects import chat, embeddings, messages, responses
from llmproxy.dialects import stream_watch as watching
from llmproxy.dialects.dialect import Dialect
from llmproxy.dialects.stream_watch import FrameWatch
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage
from llmproxy.wire.framing import Frame
from llmproxy.wire.sse import SSE
from tests.support import vendors

DIALECTS: list[Dialect] = [chat.DIALECT, chat.COMPLETIONS, responses.DIALECT, messages.DIALECT, embeddings.DIALECT]
ENDS = [b"\n", b"\r\n", b"\r"]


@dataclass
class Stream:
    """A vendor's stream and what it says."""

    dialect: Dialect
    frames: list[bytes]
    finish_reason: str
    usage: Usage | None
    text: str = vendors.TEXT


COUNTED = Usage(input=vendors.IN, output=vendors.OUT, cache_read=vendors.CACHED, reasoning=vendors.REASONING)
CLAUDE = Usage(input=vendors.IN, output=vendors.OUT, cache_read=vendors.CACHED, cache_write=16)
STREAMS = [
    Stream(chat.DIALECT, vendors.chat_frames("m", usage=True), "stop", COUNTED),
    Stream(chat.DIALECT, vendors.chat_frames("m"), "stop", None),
    Stream(chat.DIALECT, vendors.chat_frames("m", tools=True, usage=True), "tool_calls", COUNTED, ""),
    Stream(chat.COMPLETIONS, vendors.completion_frames("m"), "stop", None),
    Stream(responses.DIALECT, vendors.response_frames("m"), "completed", COUNTED),
    Stream(responses.DIALECT, vendors.response_frames("m", tools=True), "completed", COUNTED, ""),
    Stream(messages.DIALECT, vendors.message_frames("m"), "end_turn", CLAUDE),
    Stream(messages.DIALECT, vendors.message_frames("m", tools=True), "tool_use", CLAUDE),
]


def watched(dialect: Dialect, parts: list[bytes], *, text: bool) -> Summary:
    watch = dialect.readers.watch(text=text)
    for part in parts:
        watch.feed(part)
    return watch.close()


def expected(stream: Stream, *, text: bool) -> Summary:
    return Summary(
        id="resp_fake" if stream.dialect is responses.DIALECT else None,
        model="m",
        usage=stream.usage,
        finish_reason=stream.finish_reason,
        text=stream.text if text else None,
        complete=True,
    )


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: f"{stream.dialect.name} {stream.finish_reason}")
@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("end", ENDS, ids=["lf", "crlf", "cr"])
def test_a_vendors_stream_is_understood_frame_by_frame_at_once_and_byte_by_byte(
    stream: Stream, text: bool, end: bytes
) -> None:
    frames = [frame.replace(b"\n", end) for frame in stream.frames]
    whole = b"".join(frames)
    for parts in (frames, [whole], [whole[i : i + 1] for i in range(len(whole))]):
        assert watched(stream.dialect, parts, text=text) == expected(stream, text=text)


@given(st.sampled_from(STREAMS), st.booleans(), st.sampled_from(ENDS), st.lists(st.integers(0), max_size=12))
def test_a_vendors_stream_is_understood_wherever_it_is_cut(
    stream: Stream, text: bool, end: bytes, places: list[int]
) -> None:
    whole = b"".join(stream.frames).replace(b"\n", end)
    edges = [0, *sorted(place % (len(whole) + 1) for place in places), len(whole)]
    parts = [whole[start:stop] for start, stop in itertools.pairwise(edges)]
    assert watched(stream.dialect, parts, text=text) == expected(stream, text=text)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: f"{stream.dialect.name} {stream.finish_reason}")
def test_comments_a_mark_and_a_missing_last_blank_line_change_nothing(stream: Stream) -> None:
    frames = [b"\xef\xbb\xbf: hello\n\n", *(b": ping\n\n" + frame for frame in stream.frames)]
    frames[-1] = frames[-1].removesuffix(b"\n\n")
    assert watched(stream.dialect, frames, text=True) == expected(stream, text=True)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: f"{stream.dialect.name} {stream.finish_reason}")
def test_a_stream_that_was_cut_is_not_complete(stream: Stream) -> None:
    frames = stream.frames[: len(stream.frames) // 2]
    summary = watched(stream.dialect, [*frames, stream.frames[-1][:10]], text=False)
    assert not summary.complete and summary.finish_reason is None and summary.model == "m"


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@given(
    parts=st.lists(st.binary(max_size=20) | st.sampled_from([b"\n\n", b"data: ", b"{", b"[DONE]", b"\r"]), max_size=9)
)
def test_no_bytes_make_watching_fail(dialect: Dialect, parts: list[bytes]) -> None:
    watched(dialect, parts, text=True)
    watched(dialect, parts, text=False)


_NAMES = st.sampled_from(
    [
        "model",
        "choices",
        "delta",
        "text",
        "finish_reason",
        "usage",
        "prompt_tokens",
        "completion_tokens",
        "prompt_tokens_details",
        "cached_tokens",
        "error",
        "message",
        "type",
        "index",
        "content",
        "content_block",
        "response",
        "output",
        "status",
        "incomplete_details",
        "reason",
        "item",
        "input_tokens",
        "output_tokens_details",
        "stop_reason",
        "cache_read_input_tokens",
        "thinking",
    ]
)
_VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
_WORDS = st.sampled_from(
    [
        "error",
        "message_start",
        "message_delta",
        "message_stop",
        "content_block_start",
        "content_block_delta",
        "response.failed",
        "response.completed",
        "response.output_item.added",
        "response.output_text.delta",
    ]
)
documents = st.recursive(
    _VALUES | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=6),
    max_leaves=20,
)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@given(values=st.lists(documents, max_size=4))
def test_no_json_makes_watching_or_reading_fail_and_every_field_keeps_its_type(
    dialect: Dialect, values: list[object]
) -> None:
    bodies = [json.dumps(value).encode() for value in values]
    frames = [b"data: " + body + b"\n\n" for body in bodies]
    read = [dialect.readers.summarize(body, text=text) for body in bodies for text in (False, True)]
    for summary in [watched(dialect, frames, text=True), watched(dialect, frames, text=False), *read]:
        assert all(isinstance(each, str | None) for each in (summary.model, summary.finish_reason, summary.error))
        assert isinstance(summary.text, str | None)
        usage = summary.usage or Usage()
        counts = (usage.input, usage.output, usage.cache_read, usage.cache_write, usage.reasoning)
        assert all(tokens is None or (type(tokens) is int) for tokens in counts)
        assert all(isinstance(dialect.readers.request_text(body), str | None) for body in bodies)


class Counting(FrameWatch):
    """Counts the frames that are read."""

    reads = 0

    def _notable(self, data: bytes) -> bool:
        return b"look" in data

    def _read(self, frame: Frame) -> None:
        self.reads += 1
        self._say(frame.data.decode())


def test_frames_are_read_until_the_first_content_and_then_only_when_notable() -> None:
    watch = Counting()
    watch.feed(b"data:\n\n" * 3)
    assert (watch.reads, watch.started) == (3, False)
    watch.feed(b"data: a\n\n")
    assert (watch.reads, watch.started) == (4, True)
    for part in (b"data: a\n\n", b"data: a\n\ndat", b"a: a\n\n", b"data: a\n\n" * 100):
        watch.feed(part)
    assert watch.reads == 4
    watch.feed(b"data: lo")
    watch.feed(b"ok\n\n")
    assert watch.reads == 5


@pytest.mark.parametrize("end", ENDS, ids=["lf", "crlf", "cr"])
def test_a_frame_is_read_as_soon_as_its_blank_line_is_there(end: bytes) -> None:
    watch = Counting(text=True)
    frame = b"data: a\n\n".replace(b"\n", end)
    for number in range(1, 4):
        for at in range(len(frame)):
            watch.feed(frame[at : at + 1])
        assert watch.reads == number


def test_every_frame_is_read_when_text_is_wanted() -> None:
    watch = Counting(text=True)
    watch.feed(b"data: a\n\n" * 5)
    assert (watch.reads, watch.close().text) == (5, "aaaaa")


def test_text_is_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "MAX_TEXT", 7)
    watch = Counting(text=True)
    watch.feed(b"data: abcde\n\n" * 50)
    assert watch.close().text == "abcdeab"


def test_a_frame_that_grows_too_long_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "MAX_EVENT_BYTES", 100)
    watch = Counting(text=True)
    watch.feed(b"data: a\n\ndata: ")
    for _ in range(50):
        watch.feed(b"0123456789")
    watch.feed(b"\n\ndata: b\n\n")
    assert watch.close().text == "ab"


def test_a_frame_in_thousands_of_reads_is_looked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = 0

    def counting(data: bytes | bytearray, start: int = 0) -> int:
        nonlocal looked_at
        looked_at += len(data) - start
        return -1

    monkeypatch.setattr(Counting, "framing", replace(SSE, last_frame_end=counting))
    watch = Counting()
    for _ in range(5000):
        watch.feed(b"data")
    assert looked_at <= 2 * 5000 * len(b"data")
