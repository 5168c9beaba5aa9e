"""Answers as services really send them, through every pair of dialects: what is odd about them never stops a client."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from llmproxy.dialects.chat.usage import encode_usage as chat_usage
from llmproxy.dialects.messages.usage import encode_usage as messages_usage
from llmproxy.dialects.model import Block, Reply, Text, Thinking, ToolCall
from llmproxy.dialects.provider_errors import BadReply
from llmproxy.dialects.reply_events import collect
from llmproxy.dialects.responses.usage import encode_usage as responses_usage
from llmproxy.dialects.stream_events import Fail
from llmproxy.dialects.usage import Usage
from tests.support.sdk_streams import StreamError, accumulate
from tests.support.short_answers import (
    MISSING,
    PAIRS,
    block,
    codec,
    end,
    frame,
    frames,
    start,
    translation,
    whole,
)

HALVES = "\ud83d", "\ude00"
EMOJI = "\U0001f600"

pairs = pytest.mark.parametrize(("client", "provider"), PAIRS)


def streamed(client: str, provider: str, sent: Sequence[bytes]) -> tuple[Reply, bytes]:
    """Return what the client reads of a stream, and its bytes, which its SDK accepts."""
    stream = translation(client, provider).stream()
    got = b"".join(map(stream.feed, sent)) + stream.close()
    assert stream.done
    accumulate(client, got, named=False)
    reader = codec(client).stream_decoder()
    reply = collect([*reader.feed(got), *reader.close()])
    assert isinstance(reply, Reply)
    return reply, got


def plain(client: str, provider: str, answer: dict[str, Any] | bytes) -> tuple[Reply, bytes]:
    """Return what the client reads of a whole answer, and its bytes."""
    got = translation(client, provider).reply(answer if isinstance(answer, bytes) else json.dumps(answer).encode())
    return codec(client).decode_response(got), got


def words(content: Sequence[Block]) -> list[str]:
    """Return the texts and the arguments in a reply."""
    return [
        each.arguments if isinstance(each, ToolCall) else each.text
        for each in content
        if isinstance(each, Text | Thinking | ToolCall)
    ]


EMPTY = {
    "no data": b"data:\n\n",
    "a field without a colon": b"data\n\n",
    "a comment as data": b"data: : keepalive\n\n",
    "lines of nothing": b"data: \ndata: \n\n",
    "null": b"data: null\n\n",
    "an empty object": b"data: {}\n\n",
    "a comment": b": keepalive\n\n",
    "blank lines": b"\n\n\n",
    "a name alone": b"event: ping\n\n",
    "a named null": b"event: ping\ndata:\n\n",
    "an id": b"id: 0\n\n",
}


@pytest.mark.parametrize("empty", EMPTY)
@pairs
def test_frames_without_content_are_passed_over(client: str, provider: str, empty: str) -> None:
    sent = frames(provider, ["a", "b"])
    for place in range(len(sent) + 1):
        made = translation(client, provider)
        stream = made.stream()
        for each in [*sent[:place], EMPTY[empty], *sent[place:]]:
            stream.feed(each)
        stream.close()
        assert stream.done and made.losses.dropped == []


@pytest.mark.parametrize("before", [b"\n\n", b"  ", b": keepalive\n\n", b"data:\n\n: x\r\n\r\n", b"\xef\xbb\xbf"])
@pairs
def test_a_whole_answer_may_follow_signs_of_life(client: str, provider: str, before: bytes) -> None:
    answer = before + json.dumps(whole(provider, "ab")).encode()
    assert words(plain(client, provider, answer)[0].content) == ["ab"]
    assert words(plain(client, provider, before + b"".join(frames(provider, ["a", "b"])))[0].content) == ["ab"]


def test_megabytes_of_blanks_before_an_answer_hold_up_nobody() -> None:
    answer = b" " * 4_000_000 + json.dumps(whole("chat", "ab")).encode()
    took: list[float] = []
    works: list[Callable[[], bytes]] = [answer.lstrip, lambda: translation("messages", "chat").reply(answer)]
    for work in works:
        began_s = time.thread_time()
        work()
        took.append(time.thread_time() - began_s)
    assert took[1] < 100 * took[0] + 0.02, took


NONE = [MISSING, None, "", " ", "null", "\n", {}, []]


@pytest.mark.parametrize("value", [*NONE, {"a": 1}, '{"a":1}'], ids=lambda value: repr(value)[:9])
@pairs
def test_the_arguments_of_a_call_are_a_json_object(client: str, provider: str, value: object) -> None:
    expected = "{}" if value in NONE else '{"a":1}'
    answer = whole(provider, arguments=MISSING)
    if value is not MISSING:
        answer = whole(provider, arguments=0)
        answer = json.loads(json.dumps(answer).replace(": 0}", f": {json.dumps(value)}}}"))
    assert words(plain(client, provider, answer)[0].content) == [expected]


@pytest.mark.parametrize(
    "pieces", [[], [""], [" "], ["null"], [" nu", "ll"], [None], [{}], [{"a": 1}], [" ", '{"a":1}']]
)
@pairs
def test_the_streamed_arguments_of_a_call_are_a_json_object(client: str, provider: str, pieces: list[object]) -> None:
    expected = {"a": 1} if "a" in str(pieces) else {}
    reply, _ = streamed(client, provider, frames(provider, pieces, kind="call"))
    assert [json.loads(each) for each in words(reply.content)] == [expected] and reply.stop == "tool_calls"


@pytest.mark.parametrize("kind", ["text", "thinking", "call"])
@pairs
def test_the_halves_of_a_character_in_two_deltas_are_one(client: str, provider: str, kind: str) -> None:
    around = ('{"a":"', '"}') if kind == "call" else ("x", "y")
    reply, got = streamed(client, provider, frames(provider, [around[0] + HALVES[0], HALVES[1] + around[1]], kind=kind))
    assert words(reply.content) == [around[0] + EMOJI + around[1]]
    assert EMOJI.encode() in got and b"\\ud83d" not in got.lower()


@pytest.mark.parametrize("kind", ["text", "thinking", "call"])
@pytest.mark.parametrize("half", HALVES)
@pairs
def test_half_a_character_alone_is_replaced(client: str, provider: str, half: str, kind: str) -> None:
    around = ('{"a":"', '"}') if kind == "call" else ("x", "y")
    reply, got = streamed(client, provider, frames(provider, [around[0] + half, around[1]], kind=kind))
    assert words(reply.content) == [around[0] + "\ufffd" + around[1]] and b"\\ud" not in got
    reply, got = plain(client, provider, whole(provider, "x" + half))
    assert words(reply.content) == ["x\ufffd"] and b"\\ud" not in got


ERRORS: dict[str, tuple[object, int]] = {
    "an object error": ({"object": "error", "message": "too long", "code": 400}, 400),
    "an error that is text": ({"error": "too long"}, 502),
    "a name and a message": ({"error": "bad_request", "message": "too long", "statusCode": 400}, 400),
    "a message alone": ({"message": "too long"}, 502),
    "a detail alone": ({"detail": "too long"}, 502),
    "a list of details": ({"detail": [{"loc": ["body"], "msg": "too long"}]}, 502),
    "a message and a code": ({"code": 429, "msg": "too long"}, 429),
    "a type and a message": ({"type": "BadRequestError", "message": "too long"}, 502),
    "a type and a detail": ({"type": "error", "detail": "too long"}, 502),
    "messages": ({"type": "error", "error": {"type": "overloaded_error", "message": "too long"}}, 529),
    "a flat event": ({"type": "error", "code": "rate_limit_exceeded", "message": "too long"}, 429),
    "an error with a number": ({"error": {"code": 413, "message": "too long"}}, 413),
    "a nested error": ({"error": {"error": {"message": "too long", "type": "api_error"}}}, 500),
    "an error with a detail": ({"error": {"detail": "too long"}}, 502),
    "a list": ([{"error": {"message": "too long", "code": 400}}], 400),
    "a list of errors": ({"errors": [{"message": "too long", "code": 1010}], "success": False}, 502),
    "an empty error beside words": ({"error": True, "message": "too long"}, 502),
}


def failed(client: str, provider: str, sent: Sequence[bytes]) -> tuple[Fail, str]:
    """Return how a stream failed, and what the client's SDK raises."""
    stream = translation(client, provider).stream()
    got = b"".join(map(stream.feed, sent)) + stream.close()
    assert stream.failure is not None and not stream.done
    with pytest.raises(StreamError) as raised:
        accumulate(client, got, named=False)
    return stream.failure, str(raised.value)


@pytest.mark.parametrize("named", ["", "error"], ids=["unnamed", "named"])
@pytest.mark.parametrize("error", ERRORS)
@pairs
def test_the_words_of_an_error_in_a_stream_reach_the_client(client: str, provider: str, error: str, named: str) -> None:
    value, status = ERRORS[error]
    for before in ([], [start(provider), *block(provider, ["a"])]):
        failure, raised = failed(client, provider, [*before, frame(value, named)])
        assert (failure.message, failure.status) == ("too long", status) and "too long" in raised


@pytest.mark.parametrize("error", ERRORS)
@pairs
def test_the_words_of_an_error_in_a_whole_answer_reach_the_client(client: str, provider: str, error: str) -> None:
    value, status = ERRORS[error]
    body = json.dumps(value).encode()
    with pytest.raises(BadReply) as raised:
        translation(client, provider).reply(body)
    assert raised.value.message.endswith("too long") and raised.value.status == status
    assert translation(client, provider).error(422, body).message == "too long"


@pytest.mark.parametrize("text", [b"upstream overloaded", b"<html><title>upstream overloaded</title></html>"])
@pairs
def test_the_words_of_what_is_no_json_reach_the_client(client: str, provider: str, text: bytes) -> None:
    failure, _ = failed(client, provider, [start(provider), frame(text)])
    assert failure.message.endswith(": upstream overloaded")
    assert failed(client, provider, [start(provider), frame(text, "error")])[0].message == "upstream overloaded"
    with pytest.raises(BadReply, match=r": upstream overloaded$"):
        translation(client, provider).reply(text)


@pairs
def test_words_beside_an_answer_do_not_end_it(client: str, provider: str) -> None:
    sent = frames(provider, ["a"])
    for place in range(len(sent) + 1):
        notice = frame({"message": "queued", "detail": "place 3"})
        reply, _ = streamed(client, provider, [*sent[:place], notice, *sent[place:]])
        assert words(reply.content) == ["a"]


@pairs
def test_a_finish_reason_that_nobody_knows_is_the_end_and_is_listed(client: str, provider: str) -> None:
    made = translation(client, provider)
    written = json.loads(made.reply(json.dumps(whole(provider, "a", stop="bored")).encode()))
    assert made.losses.dropped == ["reply.stop.bored"] and made.summary.upstream_finish_reason == "bored"
    reply = codec(client).decode_response(json.dumps(written).encode())
    # A response that is incomplete was cut short, whatever the reason.
    assert reply.stop == ("length" if provider == "responses" else "end")
    made = translation(client, provider)
    stream = made.stream()
    for each in frames(provider, ["a"], stop="bored"):
        stream.feed(each)
    assert stream.done and made.losses.dropped == ["reply.stop.bored"]


@pytest.mark.parametrize("pieces", [["a"], []], ids=["text", "nothing"])
@pytest.mark.parametrize(("provider", "word"), [("chat", "tool_calls"), ("chat", "tool_use"), ("messages", "tool_use")])
@pytest.mark.parametrize("client", ["chat", "messages", "responses"])
def test_a_turn_without_calls_is_no_turn_of_calls(client: str, provider: str, word: str, pieces: list[str]) -> None:
    if client == provider:
        return
    reply, _ = streamed(client, provider, frames(provider, pieces, stop=word))
    assert reply.stop == "end"
    assert plain(client, provider, whole(provider, "".join(pieces), stop=word))[0].stop == "end"


@pairs
def test_a_second_answer_in_a_stream_ends_it(client: str, provider: str) -> None:
    sent = [
        start(provider),
        start(provider),
        *block(provider, ["a"])[:2],
        start(provider, "2"),
        *frames(provider, ["b"]),
    ]
    if provider == "chat":  # services give each chunk an id of its own
        reply, _ = streamed(client, provider, sent)
        assert words(reply.content) == ["ab"]
    else:
        failure, _ = failed(client, provider, sent)
        assert "second answer" in failure.message


@pairs
def test_what_follows_the_end_is_not_read(client: str, provider: str) -> None:
    reply, _ = streamed(client, provider, [*frames(provider, ["a"]), *frames(provider, ["b"]), start(provider, "2")])
    assert words(reply.content) == ["a"]


@pytest.mark.parametrize("kind", ["text", "thinking", "call"])
@pytest.mark.parametrize(("client", "provider"), [pair for pair in PAIRS if pair[1] != "chat"])
def test_a_delta_of_a_block_that_is_not_open_is_not_lost(client: str, provider: str, kind: str) -> None:
    _, grown, ended = block(provider, ['{"a":1}'], kind)
    sent = [start(provider), *block(provider, ["b"]), grown.replace(b'index": 0', b'index": 1')]
    if kind == "call":
        failure, _ = failed(client, provider, [*sent, *end(provider)])
        assert "arguments of a tool call" in failure.message
    else:
        reply, _ = streamed(client, provider, [*sent, *end(provider)])
        assert "".join(words(reply.content)) == 'b{"a":1}'
    if provider == "responses":  # whose last events repeat all of it
        reply, _ = streamed(client, provider, [*sent, ended.replace(b'index": 0', b'index": 1'), *end(provider)])
        assert "".join(words(reply.content)) == ("b{}" if kind == "call" else 'b{"a":1}')


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("details", [{}, {"reasoning": 0, "cache_read": 0, "cache_write": 0}], ids=["unknown", "zero"])
@pairs
def test_tokens_that_the_provider_does_not_count_are_unknown(
    client: str, provider: str, details: dict[str, Any], stream: bool
) -> None:
    counted = Usage(input=9, output=4, **details)
    written = {"chat": chat_usage, "messages": messages_usage, "responses": responses_usage}[provider](counted)
    assert written is not None
    if not details and provider == "responses":
        written = {name: value for name, value in written.items() if not name.endswith("details")}
    made = translation(client, provider)
    if stream:
        reader = made.stream()
        for each in frames(provider, ["a"], usage=written):
            reader.feed(each)
    else:
        made.reply(json.dumps(whole(provider, "a", usage=written)).encode())
    assert made.summary.usage == counted
