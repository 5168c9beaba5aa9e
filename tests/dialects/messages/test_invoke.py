"""Messages in the frames of InvokeModel: wrapped, unwrapped, read, written and reshaped."""

from __future__ import annotations

import base64
import json

import pytest

from llmproxy.dialects.codec import Codec
from llmproxy.dialects.messages import DIALECT, INVOKE
from llmproxy.dialects.messages.invoke import Unwrap, Wrap
from llmproxy.dialects.stream_events import Fail
from llmproxy.errors import BadRequest, BrokenStream
from llmproxy.wire.eventstream import write_message
from tests.support import vendors
from tests.support.fake_bedrock import chunk, exception

FRAMES = vendors.message_frames("claude", tools=True)
STREAM = b"".join(map(chunk, FRAMES))


def codec() -> Codec:
    assert INVOKE.codec is not None
    return INVOKE.codec


def test_a_stream_cut_at_any_byte_becomes_the_same_events() -> None:
    whole = Unwrap().feed(STREAM)
    for cut in range(len(STREAM)):
        unwrap = Unwrap()
        assert unwrap.feed(STREAM[:cut]) + unwrap.feed(STREAM[cut:]) + unwrap.close() == whole
    events = [json.loads(line[6:]) for line in whole.split(b"\n") if line.startswith(b"data: ")]
    assert events == [json.loads(frame.partition(b"data: ")[2]) for frame in FRAMES]


@pytest.mark.parametrize(
    ("event", "frame"),
    [
        ('{"type":"ping",\r\n\n"a":1}', b'event: ping\ndata: {"type":"ping",   "a":1}\n\n'),
        ('{"type":"a\\n\\ndata: {}"}', b'data: {"type":"a\\n\\ndata: {}"}\n\n'),
    ],
)
def test_line_breaks_in_an_event_end_no_frame(event: str, frame: bytes) -> None:
    data = base64.b64encode(event.encode()).decode()
    assert Unwrap().feed(write_message("chunk", json.dumps({"bytes": data}).encode())) == frame


def test_wrapping_undoes_unwrapping() -> None:
    sse = Unwrap().feed(STREAM)
    wrap = Wrap()
    wrapped = b"".join(wrap.feed(bytes((byte,))) for byte in sse) + wrap.close()
    assert Unwrap().feed(wrapped) == sse


@pytest.mark.parametrize(
    ("frame", "status", "message"),
    [
        (exception("throttlingException", "slow"), 429, "slow"),
        (exception("modelStreamErrorException", "m", originalStatusCode=529), 529, "m"),
        (exception("modelTimeoutException", "late"), 408, "late"),
    ],
)
def test_an_exception_ends_the_stream_with_its_status(frame: bytes, status: int, message: str) -> None:
    with pytest.raises(BrokenStream, match=message) as caught:
        Unwrap().feed(frame)
    assert caught.value.status == status
    (fail,) = codec().stream_decoder().feed(frame)
    assert isinstance(fail, Fail) and (fail.status, fail.message) == (status, message)
    watch = INVOKE.readers.watch()
    watch.feed(frame)
    assert watch.close().error == message


def test_an_error_among_server_sent_events_is_raised_too() -> None:
    error = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"busy"}}\n\n'
    with pytest.raises(BrokenStream, match="busy") as caught:
        Wrap().feed(error)
    assert caught.value.status == 529


def test_a_stream_that_is_cut_short_is_broken() -> None:
    unwrap = Unwrap()
    unwrap.feed(STREAM[:-3])
    with pytest.raises(BrokenStream, match="within a message"):
        unwrap.close()


def test_what_is_no_event_is_passed_over() -> None:
    for payload in (b"{}", b"nothing", b'{"bytes": 3}', b'{"bytes": "!"}', b'{"bytes": "bm8="}'):
        assert Unwrap().feed(write_message("chunk", payload)) == b""
    assert Unwrap().feed(write_message("other", b'{"bytes": "e30="}')) == b""


def test_a_watch_sees_what_the_other_sees() -> None:
    own, other = INVOKE.readers.watch(text=True), DIALECT.readers.watch(text=True)
    for start in range(0, len(STREAM), 37):
        own.feed(STREAM[start : start + 37])
    other.feed(b"".join(FRAMES))
    assert own.close() == other.close() and own.started
    assert own.summary.usage is not None and own.summary.complete


def test_a_request_has_its_model_in_the_path() -> None:
    body = {"messages": [{"role": "user", "content": "hi"}], "anthropic_version": "x", "anthropic_beta": ["y"]}
    request = codec().decode_request(body)
    assert not request.extra and request.messages
    with pytest.raises(BadRequest, match="messages"):
        codec().decode_request({"inputText": "hi"})


def test_replies_take_the_other_form() -> None:
    reply = json.dumps(vendors.message("claude")).encode()
    stream = INVOKE.reshape.stream_of(reply, usage=True)
    assert stream is not None and INVOKE.reshape.is_whole(stream)
    again = INVOKE.reshape.reply_of(stream)
    assert again is not None and json.loads(again)["content"] == json.loads(reply)["content"]
    assert INVOKE.reshape.reply_of(STREAM) is not None and INVOKE.reshape.reply_of(STREAM[:-2]) is None


def test_what_stands_in_front_of_an_error_is_not_lost() -> None:
    unwrap = Unwrap()
    before = unwrap.feed(chunk(FRAMES[0]) + exception("throttlingException", "slow down"))
    assert before == Unwrap().feed(chunk(FRAMES[0]))
    for _ in range(2):
        with pytest.raises(BrokenStream, match="slow down"):
            unwrap.feed(b"")
    with pytest.raises(BrokenStream, match="slow down"):
        Unwrap().feed(exception("throttlingException", "slow down"))
