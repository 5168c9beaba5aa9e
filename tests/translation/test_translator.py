"""Calls in which client and provider speak different dialects, through the server and over real sockets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from llmproxy.providers.anthropic import Anthropic
from llmproxy.providers.openai import OpenAI
from llmproxy.translation.translator import ERROR_BYTES
from llmproxy.wire.compression import compress
from tests.support import vendors
from tests.support.provider import Reply, Upstream, drop
from tests.support.proxy import CHAT, Listening
from tests.support.raw_http import RawAnswer

ASK = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
MESSAGES = "/v1/messages"


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(vendors.answer) as upstream:
        yield upstream


def claude(upstream: Upstream, name: str = "claude", **keys: Any) -> Anthropic:
    keys = {"name": name, "type": "anthropic", "base_url": upstream.url, "models": ["*"], "proxy": None, **keys}
    return Anthropic(Anthropic.Config.model_validate(keys))


def gpt(upstream: Upstream, **keys: Any) -> OpenAI:
    keys = {"name": "gpt", "type": "openai", "base_url": f"{upstream.url}/v1", "models": ["*"], "proxy": None, **keys}
    return OpenAI(OpenAI.Config.model_validate(keys))


def body(upstream: Upstream) -> Any:
    return json.loads(upstream.only.body)


def frames(answer: RawAnswer) -> list[Any]:
    texts = [each.partition("data: ")[2] for each in answer.body.decode().split("\n\n") if "data: " in each]
    return [text if text == "[DONE]" else json.loads(text) for text in texts]


def test_the_clients_credential_stands_where_the_provider_expects_it(upstream: Upstream) -> None:
    with Listening(claude(upstream)) as server:
        server.post(ASK, "Authorization: Bearer sk-mine", "OpenAI-Organization: org", "x-own: 1")
    sent = upstream.only
    assert sent.value("x-api-key") == "sk-mine" and sent.value("authorization") is None
    assert sent.value("anthropic-version") and sent.value("x-own") == "1"
    assert sent.value("openai-organization") is None
    assert (sent.value("accept-encoding"), sent.value("content-type")) == ("identity", "application/json")


def test_a_key_of_the_provider_goes_before_the_clients(upstream: Upstream) -> None:
    with Listening(gpt(upstream, api_key="sk-ours")) as server:
        server.post({**ASK, "max_tokens": 5}, "x-api-key: dummy", "anthropic-version: 2023-06-01", path=MESSAGES)
    assert upstream.only.value("authorization") == "Bearer sk-ours"
    assert upstream.only.value("x-api-key") is None and upstream.only.value("anthropic-version") is None
    assert upstream.only.target == b"/v1/chat/completions"


def test_what_is_dropped_is_told_in_a_header_and_in_the_exchange(upstream: Upstream) -> None:
    with Listening(claude(upstream)) as server:
        answer = server.post({**ASK, "seed": 7, "logit_bias": {"1": 2}})
        exchange = server.wait_ended()
    assert answer.status == 200
    assert (
        set((answer.value("x-llmproxy-dropped") or "").split(", ")) == {"seed", "logit_bias"} == set(exchange.dropped)
    )
    assert server.metrics.dropped == {("chat", "claude", "seed"): 1, ("chat", "claude", "logit_bias"): 1}


@pytest.mark.parametrize("name", ["a\r\nX-Evil: 1", "a\0b", "\u2028\u202e", "x" * 9000, "\U0001f600" * 900])
def test_a_name_of_the_clients_that_is_dropped_never_spoils_the_answer(upstream: Upstream, name: str) -> None:
    tool = {"type": name, "name": name, name: 1}
    message = {"role": "user", "content": "Hi", **{f"{number}{name}": 1 for number in range(60)}}
    with Listening(claude(upstream)) as server:
        answer = server.post({**ASK, name: 1, "messages": [message], "tools": [tool], "metadata": {name: name}})
        exchange = server.wait_ended()
    listed = answer.value("x-llmproxy-dropped") or ""
    assert answer.status == 200 and answer.value("x-evil") is None
    assert "tools[0]" in listed.split(", ")
    assert listed.isascii() and listed.isprintable() and len(listed) < 5000 and listed.endswith(", ...")
    assert max(map(len, exchange.dropped)) <= 100


def test_a_relayed_request_loses_nothing_and_says_nothing(upstream: Upstream) -> None:
    with Listening(gpt(upstream)) as server:
        answer = server.post({**ASK, "seed": 7})
    assert answer.value("x-llmproxy-dropped") is None and body(upstream)["seed"] == 7


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        ({**ASK, "messages": "Hi"}, "messages"),
        (
            {**ASK, "messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]},
            "messages[0].content[0].text",
        ),
        ({**ASK, "temperature": "warm"}, "temperature"),
        ({**ASK, "n": 2}, "n"),
    ],
)
def test_what_is_wrong_or_cannot_be_carried_is_a_400_with_its_path(
    upstream: Upstream, request_: dict[str, Any], param: str
) -> None:
    with Listening(claude(upstream)) as server:
        answer = server.post(request_)
    assert answer.status == 400
    assert answer.json["error"]["param"] == param and answer.json["error"]["type"] == "invalid_request_error"
    assert upstream.requests == []


def test_another_target_is_asked_when_the_first_cannot_carry_it(upstream: Upstream) -> None:
    with Listening(claude(upstream, priority=1), gpt(upstream, priority=2)) as server:
        answer = server.post({**ASK, "n": 2})
        assert answer.status == 200 and server.wait_ended().calls[-1].target.provider.name == "gpt"
    assert upstream.only.target == b"/v1/chat/completions"


def test_an_error_of_the_provider_keeps_its_words_and_headers(upstream: Upstream) -> None:
    upstream.next(vendors.failure(429, "Too Many Requests", ("Retry-After", "7"), ("anthropic-ratelimit-x", "0")))
    with Listening(claude(upstream)) as server:
        answer = server.post(ASK)
    assert (answer.status, answer.value("retry-after"), answer.value("anthropic-ratelimit-x")) == (429, "7", "0")
    assert answer.json["error"]["message"] == "vendor says 429"


def test_an_overloaded_provider_is_the_clients_vendors_own_status(upstream: Upstream) -> None:
    upstream.next(Reply(status=529, pieces=[b'{"type":"error","error":{"type":"overloaded_error","message":"full"}}']))
    with Listening(claude(upstream)) as server:
        answer = server.post(ASK)
    assert (answer.status, answer.json["error"]["message"]) == (503, "full")


MESSAGE = {**ASK, "max_tokens": 5}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("place", ["status", "first event", "whole answer"])
def test_an_overloaded_chat_service_is_a_529_to_clients_who_know_that(
    upstream: Upstream, place: str, stream: bool
) -> None:
    error = b'{"error":{"message":"full","code":529}}'
    upstream.next(
        {
            "status": Reply(status=529, pieces=[error]),
            "first event": Reply(pieces=[b"data: " + error + b"\n\n"], headers=vendors.SSE),
            "whole answer": Reply(pieces=[error], headers=vendors.JSON),
        }[place]
    )
    with Listening(gpt(upstream, dialects=["chat"])) as server:
        answer = server.post({**MESSAGE, "stream": stream}, path=MESSAGES)
    told = answer.json["error"]
    assert (answer.status, told["type"]) == (529, "overloaded_error") and "full" in told["message"]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_a_finish_reason_that_nobody_knows_is_named(upstream: Upstream, stream: bool) -> None:
    frames_ = [each.replace(b'"stop"', b'"bored\\n, of you"') for each in vendors.chat_frames("m")]
    whole = json.dumps(vendors.chat("m")).replace('"stop"', '"bored\\n, of you"').encode()
    upstream.next(Reply(pieces=frames_ if stream else [whole], headers=vendors.SSE if stream else vendors.JSON))
    with Listening(gpt(upstream, dialects=["chat"])) as server:
        answer = server.post({**MESSAGE, "stream": stream}, path=MESSAGES)
        exchange = server.wait_ended()
    assert answer.status == 200 and b'"end_turn"' in answer.body
    assert exchange.dropped == ["reply.stop.bored\n, of you"]
    if not stream:  # the headers of a stream are gone by then
        assert answer.value("x-llmproxy-dropped") == "reply.stop.bored\\n, of you"


@pytest.mark.parametrize("empty", [b"data:\n\n", b"data: : keepalive\n\n", b": keepalive\n\n", b"id: 0\n\n"])
@pytest.mark.parametrize("target", ["claude", "gpt"])
def test_a_stream_may_begin_with_signs_of_life(upstream: Upstream, target: str, empty: bytes) -> None:
    sent = vendors.message_frames("m") if target == "claude" else vendors.response_frames("m")
    upstream.next(Reply(pieces=[empty, empty, *sent], headers=vendors.SSE, framing="chunked"))
    with Listening(claude(upstream) if target == "claude" else gpt(upstream, dialects=["responses"])) as server:
        answer = server.post({**ASK, "stream": True})
        assert server.wait_ended().outcome == "complete"
    assert frames(answer)[-1] == "[DONE]"


def test_an_error_that_is_not_read_to_its_end_is_closed(upstream: Upstream) -> None:
    head = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n"
    with Listening(claude(upstream)) as server, ThreadPoolExecutor(1) as threads:
        upstream.hold()
        asked = threads.submit(server.post, ASK)
        call = upstream.take()
        call.send(head + b"x" * 2 * ERROR_BYTES)
        assert asked.result().status == 400
        call.wait_left()
        call.done()


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_is_a_502(upstream: Upstream, status: int) -> None:
    upstream.next(Reply(status=status, headers=(), framing="none"))
    with Listening(claude(upstream)) as server:
        answer = server.post(ASK)
    assert answer.status == 502 and f"answered {status}, which has no body" in answer.json["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_is_none_of_the_dialect_is_a_502(upstream: Upstream, stream: bool) -> None:
    upstream.next(Reply(pieces=[b"<html>"], headers=(("Content-Type", "text/html"),)))
    with Listening(claude(upstream)) as server:
        answer = server.post({**ASK, "stream": stream})
    assert answer.status == 502 and answer.json["error"]["message"]


def test_a_provider_that_does_not_stream_is_streamed_all_the_same(upstream: Upstream) -> None:
    upstream.next(vendors.plain(vendors.message("m")))
    with Listening(claude(upstream)) as server:
        answer = server.post({**ASK, "stream": True})
    got = frames(answer)
    assert got[-1] == "[DONE]"
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in got[:-1]) == vendors.TEXT


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("named", ["text/event-stream", "application/json"])
def test_a_stream_without_request_or_content_type_is_understood(upstream: Upstream, stream: bool, named: str) -> None:
    headers = (("Content-Type", named),)
    upstream.next(Reply(headers=headers, pieces=[b": hello\n\n", *vendors.message_frames("m")], framing="chunked"))
    with Listening(claude(upstream)) as server:
        answer = server.post({**ASK, "stream": stream})
        exchange = server.wait_ended()
    if stream:
        text = "".join(each["choices"][0]["delta"].get("content") or "" for each in frames(answer)[:-1])
    else:
        text = answer.json["choices"][0]["message"]["content"]
        assert answer.value("content-type") == "application/json"
    assert text == vendors.TEXT
    assert exchange.summary.usage is not None and exchange.summary.usage.output == vendors.OUT


def test_a_stream_that_nobody_asked_for_and_that_fails_is_an_error(upstream: Upstream) -> None:
    upstream.next(vendors.streamed([b'data: {"error": {"message": "slow down", "code": 429}}\n\n']))
    with Listening(gpt(upstream, dialects=["chat"])) as server:
        answer = server.post({**ASK, "max_tokens": 5}, path=MESSAGES)
    assert (answer.status, answer.json["error"]["message"]) == (429, "slow down")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_provider_that_compresses_unasked_is_understood(upstream: Upstream, stream: bool, coding: str) -> None:
    whole = b"".join(vendors.message_frames("m")) if stream else json.dumps(vendors.message("m")).encode()
    data = compress(whole, coding)
    headers = (vendors.SSE if stream else vendors.JSON) + (("Content-Encoding", coding),)
    upstream.next(Reply(headers=headers, pieces=[data[:9], data[9:50], data[50:]], framing="chunked"))
    with Listening(claude(upstream)) as server:
        answer = server.post({**ASK, "stream": stream})
    assert answer.status == 200 and answer.value("content-encoding") is None
    assert "你好" in answer.body.decode()


@pytest.mark.parametrize("coding", ["gzip", "br"])
def test_what_cannot_be_decoded_is_a_502(upstream: Upstream, coding: str) -> None:
    upstream.next(vendors.streamed([b"no such thing"], ("Content-Encoding", coding)))
    with Listening(claude(upstream)) as server:
        answer = server.post({**ASK, "stream": True})
    assert answer.status == 502 and "cannot be decoded" in answer.json["error"]["message"]


def test_usage_is_counted_though_the_client_did_not_ask_for_it(upstream: Upstream) -> None:
    with Listening(claude(upstream)) as server:
        answer = server.post({**ASK, "stream": True})
        exchange = server.wait_ended()
    assert all(not chunk.get("usage") for chunk in frames(answer)[:-1])
    assert exchange.summary.usage is not None
    assert (exchange.summary.usage.input, exchange.summary.usage.output) == (vendors.IN, vendors.OUT)
    assert (exchange.outcome, exchange.summary.finish_reason) == ("complete", "stop")
    assert exchange.first_token_s is not None


def test_a_stream_whose_first_event_is_an_error_is_a_plain_error(upstream: Upstream) -> None:
    event: dict[str, object] = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    upstream.next(vendors.streamed([vendors.event_frame(event)]))
    with Listening(claude(upstream)) as server:
        answer = server.post({**ASK, "stream": True})
    assert (answer.status, answer.json["error"]["message"]) == (503, "busy")


def test_the_next_target_takes_over_when_a_stream_begins_with_an_error(upstream: Upstream) -> None:
    event: dict[str, object] = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    upstream.next(vendors.streamed([vendors.event_frame(event)]))
    with Listening(claude(upstream, priority=1), gpt(upstream, priority=2)) as server:
        answer = server.post({**ASK, "stream": True})
    assert answer.status == 200 and frames(answer)[-1] == "[DONE]"
    assert [request.target for request in upstream.requests] == [b"/v1/messages", b"/v1/chat/completions"]


@pytest.mark.parametrize("end", ["keep", "cut"])
def test_a_stream_that_ends_too_early_ends_with_an_error_event(upstream: Upstream, end: Any) -> None:
    upstream.hold()
    with Listening(claude(upstream)) as server, server.client() as client:
        client.post(CHAT, {**ASK, "stream": True})
        held = upstream.take()
        reply = vendors.streamed(vendors.message_frames("m")[:4]).but(end=end)
        held.give(reply)
        answer = client.read_answer()
        exchange = server.wait_ended()
    assert answer.status in (200, 502)
    last = frames(answer)[-1] if answer.status == 200 else answer.json
    assert last["error"]["message"]
    assert exchange.outcome in ("broken", "error")


def test_a_model_has_its_own_name_at_each_target_and_the_clients_in_the_answer(upstream: Upstream) -> None:
    with Listening(claude(upstream)) as server:
        server.post({**ASK, "model": "claude/claude-x"})
        assert server.wait_ended().model == "claude/claude-x"
    assert body(upstream)["model"] == "claude-x"


def test_below_a_providers_prefix_nothing_is_translated(upstream: Upstream) -> None:
    with Listening(claude(upstream)) as server:
        server.post(ASK, path="/claude/v1/chat/completions")
    assert upstream.only.target == b"/v1/chat/completions" and body(upstream) == ASK


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/messages/count_tokens", "translation.estimate_tokens"),
        ("/v1/responses/input_tokens", "translation.estimate_tokens"),
        ("/v1/responses/compact", "does not support /v1/responses/compact"),
    ],
)
def test_calls_without_a_translation_are_a_501_that_sdks_do_not_repeat(
    upstream: Upstream, path: str, words: str
) -> None:
    with Listening(gpt(upstream, dialects=["chat"])) as server:
        answer = server.post(ASK | {"input": "hi"}, path=path)
        assert server.wait_ended().outcome == "error"
    assert (answer.status, answer.value("x-should-retry"), upstream.requests) == (501, "false", [])
    assert words in answer.json["error"]["message"] and "'gpt'" in answer.json["error"]["message"]
    assert (answer.json.get("type") == "error") == path.startswith("/v1/messages")


def test_tokens_are_estimated_where_that_is_allowed(upstream: Upstream) -> None:
    ask = {"model": "gpt-x", "messages": [{"role": "user", "content": "x" * 400}], "input": "x" * 400}
    with Listening(gpt(upstream, dialects=["chat"]), estimates=True) as server:
        messages = server.post(ask, path="/v1/messages/count_tokens")
        responses = server.post(ask, path="/v1/responses/input_tokens")
        first = server.post(ask | {"max_output_tokens": 9}, path="/v1/responses")
        later = {"model": "gpt-x", "input": "y", "previous_response_id": first.json["id"]}
        continued = server.post(later, path="/v1/responses/input_tokens")
        compact = server.post(ask, path="/v1/responses/compact")
    assert (messages.status, messages.json) == (200, {"input_tokens": 104})
    assert responses.json == {"object": "response.input_tokens", "input_tokens": 104}
    assert continued.json["input_tokens"] > 104 and compact.status == 501
    for answer in (messages, responses, continued):
        assert answer.value("x-llmproxy-estimated") == "input_tokens"
    assert len(upstream.requests) == 1


def test_a_provider_that_counts_is_asked_before_anybody_estimates(upstream: Upstream) -> None:
    with Listening(gpt(upstream), claude(upstream), estimates=True) as server:
        answer = server.post(ASK | {"model": "claude/claude-x"}, path="/v1/messages/count_tokens")
    assert answer.value("x-llmproxy-estimated") is None
    assert upstream.only.target == b"/v1/messages/count_tokens"


def test_a_provider_that_is_gone_is_an_error_of_the_clients_dialect(upstream: Upstream) -> None:
    upstream.next(drop)
    with Listening(gpt(upstream)) as server:
        answer = server.post({**ASK, "max_tokens": 5}, path=MESSAGES)
    assert answer.status == 502 and answer.json["type"] == "error"


def test_a_picture_by_url_is_a_400_where_the_provider_takes_none(upstream: Upstream) -> None:
    picture = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    request = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": [picture]}]}
    keys = {"name": "o", "type": "ollama", "base_url": f"{upstream.url}/v1", "models": ["*"], "dialects": ["chat"]}
    from llmproxy.providers.compatible import Compatible

    with Listening(Compatible(Compatible.Config.model_validate({**keys, "proxy": None}))) as server:
        answer = server.post(request, path=MESSAGES)
    assert answer.status == 400 and "messages[0].content[0]" in answer.json["error"]["message"]
    assert "base64" in answer.json["error"]["message"] and upstream.requests == []


def test_structured_output_comes_through_a_tool_where_a_service_has_none(upstream: Upstream) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    format_ = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}
    use = vendors._tool_use("t", "structured_answer", {"city": "Rome"})
    upstream.next(vendors.plain(vendors.message("m") | {"content": [use], "stop_reason": "tool_use"}))
    with Listening(claude(upstream, structured_output="tool")) as server:
        choice = server.post({**ASK, "response_format": format_}).json["choices"][0]
    assert json.loads(choice["message"]["content"]) == {"city": "Rome"} and not choice["message"].get("tool_calls")
    assert choice["finish_reason"] == "stop"
    asked = body(upstream)
    assert asked["tools"][0]["input_schema"] == schema and asked["tool_choice"]["name"] == "structured_answer"


@pytest.mark.parametrize("size", [1_000, 700_000])
def test_a_large_picture_is_translated_while_others_are_answered(upstream: Upstream, size: int) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * size}}
    request = {"model": "m", "messages": [{"role": "user", "content": [picture]}]}
    with Listening(claude(upstream)) as server:
        assert server.post(request).status == 200
    assert len(body(upstream)["messages"][0]["content"][0]["source"]["data"]) == size
