"""What takes too long: a 504 in the client's dialect before the answer, an error event once it streams."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.support import vendors
from tests.support.program import Program, counted
from tests.support.provider import Upstream, silence
from tests.support.raw_http import Cut

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def full_backlog() -> Iterator[int]:
    """Yield the port of a listener that accepts no connection any more: connecting to it hangs."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        yield port
        for each in waiting:
            each.close()


@pytest.fixture(scope="module")
def hasty(lasting_upstream: Upstream, full_backlog: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """Yield a program with short limits."""
    base, limits = lasting_upstream.url, "{connect: 300ms, first_byte: 300ms, idle: 300ms}"
    whole = "{total: 500ms, idle: none, first_byte: none}"
    far = f"http://127.0.0.1:{full_backlog}/v1"
    config = f"""
providers:
  - {{name: main, type: openai, base_url: "{base}/v1", api_key: k, models: ["gpt-*"], timeouts: {limits}}}
  - {{name: claude, type: anthropic, base_url: "{base}", api_key: k, timeouts: {limits}}}
  - {{name: whole, type: openai, base_url: "{base}/v1", api_key: k, models: [all-in-all], timeouts: {whole}}}
  - {{name: far, type: openai, base_url: "{far}", api_key: k, models: [far], timeouts: {limits}}}
"""
    with Program(tmp_path_factory.mktemp("hasty"), "serve", config=config) as program:
        yield program


@pytest.mark.parametrize(("path", "model"), [(CHAT, "gpt-x"), (MESSAGES, "claude-x"), ("/v1/responses", "gpt-x")])
def test_no_first_byte_in_time_is_a_504_of_the_dialect(
    hasty: Program, upstream: Upstream, path: str, model: str
) -> None:
    upstream.next(silence)
    with counted(hasty, "llmproxy_provider_errors_total", 1, kind="timeout"):
        answer = hasty.post(path, {"model": model, "stream": True})
    assert answer.status == 504 and answer.json["error"]["message"]
    if path == MESSAGES:
        assert answer.json["type"] == "error"
    assert len(upstream.requests) == 1


def test_silence_within_a_stream_is_an_error_event(hasty: Program, upstream: Upstream) -> None:
    frame = vendors.chat_frames("gpt-x")[0]
    upstream.hold()
    with hasty.client() as client:
        client.post(CHAT, {"model": "gpt-x", "stream": True})
        call = upstream.take()
        call.send(HEAD + b"%x\r\n%b\r\n" % (len(frame), frame))
        answer = client.read_answer()
        call.wait_left()
    assert answer.status == 200 and answer.body.startswith(frame)
    assert b'"error"' in answer.body[len(frame) :]


def test_silence_within_a_plain_answer_beyond_64_kb_is_an_aborted_connection(
    hasty: Program, upstream: Upstream
) -> None:
    upstream.hold()
    with hasty.client() as client, pytest.raises(Cut):
        client.post(CHAT, {"model": "gpt-x"})
        upstream.take().send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 150_000)
        client.read_answer()


def test_silence_within_a_short_plain_answer_is_a_504(hasty: Program, upstream: Upstream) -> None:
    upstream.hold()
    with hasty.client() as client:
        client.post(CHAT, {"model": "gpt-x"})
        upstream.take().send(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 1000)
        assert client.read_answer().status == 504


@pytest.mark.parametrize("begun", [False, True])
def test_the_whole_call_has_its_limit(hasty: Program, upstream: Upstream, begun: bool) -> None:
    frame = vendors.chat_frames("all-in-all")[0]
    upstream.hold()
    with hasty.client() as client:
        client.post(CHAT, {"model": "all-in-all", "stream": True})
        call = upstream.take()
        if begun:
            call.send(HEAD + b"%x\r\n%b\r\n" % (len(frame), frame))
        answer = client.read_answer()
        call.wait_left()
    assert answer.status == (200 if begun else 504)
    assert b'"error"' in answer.body


def test_a_connection_that_is_not_made_in_time_is_a_504(hasty: Program, upstream: Upstream) -> None:
    answer = hasty.post(CHAT, {"model": "far"})
    assert answer.status == 504 and answer.json["error"]["message"]


def test_a_refused_connection_is_a_502_that_names_the_place(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        with Program(tmp_path, "serve", "--base-url", base, "--type", "openai", "--api-key", "sk-hid") as program:
            answer = program.post(CHAT, {"model": "gpt-x"})
            sdk = openai.OpenAI(base_url=f"{program.url}/v1", api_key="k", max_retries=0)
            with sdk, pytest.raises(openai.InternalServerError):
                sdk.chat.completions.create(model="gpt-x", messages=[])
    assert answer.status == 502 and base.removesuffix("/v1") in answer.json["error"]["message"]
    assert b"sk-hid" not in answer.body


def test_a_name_that_does_not_exist_is_a_502(tmp_path: Path) -> None:
    with Program(tmp_path, "serve", "--base-url", "http://nowhere.invalid/v1", "--type", "openai") as program:
        answer = program.post(CHAT, {"model": "gpt-x"})
    assert answer.status == 502 and "nowhere.invalid" in answer.json["error"]["message"]


def test_the_sdk_gives_up_when_it_wants_and_the_upstream_call_ends(relay: Program, upstream: Upstream) -> None:
    upstream.hold()
    for patience_s in (0.3, 1.0, 10.0):  # a busy machine needs longer to call
        sdk = openai.OpenAI(base_url=f"{relay.url}/v1", api_key="k", max_retries=0, timeout=patience_s)
        with sdk, pytest.raises(openai.APITimeoutError):
            sdk.chat.completions.create(model="gpt-x", messages=[])
        if upstream.requests:
            break
    upstream.take().wait_left()
