"""Promise 3, honest answers: what breaks upstream is never a clean end at the client."""

from __future__ import annotations

import json
from dataclasses import replace

import openai
import pytest

from tests.support import vendors
from tests.support.program import Program, counted
from tests.support.provider import Gate, Reply, Upstream, drop, reset
from tests.support.raw_http import Cut

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
STREAM = {"model": "gpt-x", "stream": True}
FRAMES = {
    CHAT: vendors.chat_frames("gpt-x")[:3],
    RESPONSES: vendors.response_frames("gpt-x")[:5],
    MESSAGES: vendors.message_frames("claude-x")[:4],
}


def _ask(path: str) -> dict[str, object]:
    return STREAM | {"model": "claude-x" if path == MESSAGES else "gpt-x"}


def _events(body: bytes) -> list[tuple[str, dict[str, object]]]:
    """Event name and data of each frame; a frame without its empty line fails."""
    assert body.endswith(b"\n\n"), body[-200:]
    events = []
    for frame in body.decode().strip("\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in frame.split("\n"))
        data = fields["data"]
        events.append((fields.get("event", ""), {"done": True} if data == "[DONE]" else json.loads(data)))
    return events


@pytest.mark.parametrize("end", ["cut", "reset"])
@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES])
def test_a_stream_cut_within_a_frame_is_an_aborted_connection(
    both: Program, upstream: Upstream, path: str, end: str
) -> None:
    pieces = [*FRAMES[path], b'data: {"half":']
    upstream.next(Reply(headers=vendors.SSE, pieces=pieces, framing="chunked", end="cut" if end == "cut" else "reset"))
    with both.client() as client, pytest.raises(Cut) as cut:
        client.post(path, _ask(path))
        client.read_answer()
    assert b"error" not in cut.value.got


@pytest.mark.parametrize("end", ["cut", "reset"])
@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES])
def test_a_stream_cut_between_frames_ends_with_an_error_of_the_dialect(
    both: Program, upstream: Upstream, path: str, end: str
) -> None:
    frames = FRAMES[path]
    upstream.next(Reply(headers=vendors.SSE, pieces=frames, framing="chunked", end="cut" if end == "cut" else "reset"))
    with counted(both, "llmproxy_provider_requests_total", 1, outcome="broken"):
        answer = both.post(path, _ask(path))
    assert answer.status == 200 and answer.body.startswith(b"".join(frames))
    name, last = _events(answer.body[len(b"".join(frames)) :])[-1]
    if path == CHAT:
        assert isinstance(last["error"], dict) and last["error"]["message"]
    elif path == RESPONSES:
        assert (name, last["type"]) == ("error", "error") and last["message"]
    else:
        assert (name, last["type"]) == ("error", "error")
        assert isinstance(last["error"], dict) and last["error"]["message"]


@pytest.mark.parametrize("ends", ["with an error event", "cut"])
@pytest.mark.parametrize(("path", "model"), [(CHAT, "gpt-x"), (RESPONSES, "claude-x"), (MESSAGES, "gpt-x")])
def test_after_an_error_event_the_connection_serves_the_next_request(
    both: Program, upstream: Upstream, path: str, model: str, ends: str
) -> None:
    spoken = CHAT if model == "gpt-x" else MESSAGES
    error = b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}\n\n'
    gate = Gate()
    pieces: list[bytes | Gate] = [*FRAMES[spoken], gate, *([] if ends == "cut" else [error])]
    upstream.next(
        Reply(headers=vendors.SSE, pieces=pieces, framing="chunked", end="cut" if ends == "cut" else "keep"),
    )
    with both.client() as client:
        client.post(path, STREAM | {"model": model, "messages": [], "input": "hi", "max_tokens": 9})
        head = client.read_head()
        assert (head.status, head.value("connection")) == (200, None)
        client.read_chunk()
        gate.open()
        assert b"error" in b"".join(client.read_chunks())
        client.post(path, {"model": model, "messages": [], "input": "hi", "max_tokens": 9})
        assert client.read_answer().status == 200


def test_the_sdk_raises_where_a_stream_breaks(both: Program, upstream: Upstream) -> None:
    upstream.next(Reply(headers=vendors.SSE, pieces=FRAMES[CHAT], framing="chunked", end="cut"))
    with openai.OpenAI(base_url=f"{both.url}/v1", api_key="dummy", max_retries=0) as client:
        stream = client.chat.completions.create(model="gpt-x", messages=[], stream=True)
        with pytest.raises(openai.APIError):
            list(stream)


@pytest.mark.parametrize("pieces", [[], [b": only a comment"], [b'data: {"half']])
@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES])
def test_a_stream_cut_before_its_first_event_is_a_502_of_the_dialect(
    both: Program, upstream: Upstream, path: str, pieces: list[bytes]
) -> None:
    upstream.next(Reply(headers=vendors.SSE, pieces=pieces, framing="chunked", end="cut"))
    answer = both.post(path, _ask(path))
    assert answer.status == 502, answer
    assert answer.json["error"]["message"] and answer.value("x-request-id")
    assert (answer.value("content-type") or "").startswith("application/json")
    if path == MESSAGES:
        assert answer.json["type"] == "error"


@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_a_plain_answer_cut_under_64_kb_is_a_502(both: Program, upstream: Upstream, framing: str) -> None:
    whole = b'{"choices": [' + b" " * 5000
    if framing == "chunked":
        upstream.next(Reply(pieces=[whole], framing="chunked", end="cut"))
    else:
        upstream.next(Reply(pieces=[whole], length=len(whole) + 1, end="close"))
    answer = both.post(CHAT, {"model": "gpt-x"})
    assert answer.status == 502 and answer.json["error"]["message"]


@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_a_plain_answer_cut_beyond_64_kb_is_an_aborted_connection(
    both: Program, upstream: Upstream, framing: str
) -> None:
    pieces = [b'{"x": "' + b" " * 100_000, b"y" * 100_000]
    size = sum(map(len, pieces))
    if framing == "chunked":
        upstream.next(Reply(pieces=pieces, framing="chunked", end="cut"))
    else:
        upstream.next(Reply(pieces=pieces, length=size + 1, end="close"))
    with both.client() as client, pytest.raises(Cut) as cut:
        client.post(CHAT, {"model": "gpt-x"})
        client.read_answer()
    assert len(cut.value.got) <= size


@pytest.mark.parametrize("script", [drop, reset])
@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_an_upstream_that_hangs_up_on_a_fresh_connection_is_a_502_of_the_dialect(
    both: Program, upstream: Upstream, path: str, script: object
) -> None:
    upstream.close_idle()
    upstream.next(drop if script is drop else reset)
    answer = both.post(path, _ask(path))
    assert answer.status == 502 and answer.json["error"]["message"]
    assert len(upstream.requests) == 1, "it was no stale connection, so it is not sent twice"


@pytest.mark.parametrize(
    "garbage", [b"SSH-2.0-OpenSSH_9\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\r\n\r\n"]
)
def test_an_upstream_that_speaks_no_http_is_a_502(both: Program, upstream: Upstream, garbage: bytes) -> None:
    upstream.hold()
    with both.client() as client:
        client.post(CHAT, {"model": "gpt-x"})
        call = upstream.take()
        call.send(garbage)
        answer = client.read_answer()
        call.fin()
    assert answer.status == 502 and answer.json["error"]["message"]


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: nine\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nX-Huge: " + b"x" * 300_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ],
)
def test_an_answer_that_cannot_be_framed_is_a_502(both: Program, upstream: Upstream, head: bytes) -> None:
    upstream.hold()
    with both.client() as client:
        client.post(CHAT, {"model": "gpt-x"})
        call = upstream.take()
        call.send(head)
        assert client.read_answer().status == 502
        call.wait_left()


def test_an_http_1_0_answer_is_delimited_by_its_end(both: Program, upstream: Upstream) -> None:
    upstream.hold()
    with both.client() as client:
        client.post(CHAT, {"model": "gpt-x"})
        call = upstream.take()
        call.send(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + b'{"a": 1}')
        call.fin()
        assert client.read_answer().body == b'{"a": 1}'


def test_a_clean_end_without_the_last_event_is_relayed_as_it_is(both: Program, upstream: Upstream) -> None:
    upstream.next(Reply(headers=vendors.SSE, pieces=FRAMES[CHAT], framing="chunked"))
    with counted(both, "llmproxy_provider_errors_total", 1, kind="incomplete"):
        assert both.post(CHAT, STREAM).body == b"".join(FRAMES[CHAT])


def test_a_stream_of_images_is_whole_without_a_last_event_of_chat(both: Program, upstream: Upstream) -> None:
    frame = b'event: image_generation.completed\ndata: {"type":"image_generation.completed","b64_json":"aGk="}\n\n'
    upstream.next(Reply(headers=vendors.SSE, pieces=[frame], framing="chunked"))
    with counted(both, "llmproxy_provider_requests_total", 1, outcome="success", stream="true"):
        answer = both.post("/v1/images/generations", {"model": "gpt-image-1", "prompt": "a cat", "stream": True})
    assert answer.body == frame


@pytest.mark.parametrize(
    ("status", "reason"), [(429, "Too Many Requests"), (500, "Oops"), (503, "Busy"), (529, "Overloaded")]
)
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_error_of_the_provider_on_a_stream_keeps_status_headers_and_body(
    both: Program, upstream: Upstream, status: int, reason: str, framing: str
) -> None:
    body = b'{"error": {"message": "slow down", "odd": 1.0}}\n'
    headers = (*vendors.JSON, ("Retry-After", "3"), ("x-ratelimit-remaining-tokens", "0"))
    reply = Reply(status=status, reason=reason, headers=headers, pieces=[body])
    upstream.next(reply if framing == "length" else replace(reply, framing="chunked"))
    with counted(both, "llmproxy_provider_requests_total", 1, status=str(status), outcome="error"):
        answer = both.post(CHAT, STREAM)
    assert (answer.status, answer.body) == (status, body)
    assert (answer.value("retry-after"), answer.value("x-ratelimit-remaining-tokens")) == ("3", "0")
    assert answer.value("x-upstream-request-id") == "req_upstream"


def test_an_error_event_of_the_provider_is_relayed_and_counted(both: Program, upstream: Upstream) -> None:
    overloaded = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    frames = [*FRAMES[MESSAGES], overloaded]
    upstream.next(Reply(headers=vendors.SSE, pieces=frames, framing="chunked"))
    with counted(both, "llmproxy_provider_errors_total", 1, provider="claude", kind="stream_error"):
        answer = both.post(MESSAGES, _ask(MESSAGES))
    assert answer.body == b"".join(frames)
