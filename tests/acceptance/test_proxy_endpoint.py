"""The small chat endpoint `/proxy` and `/proxy/stream`, as its description has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import Program
from tests.support.provider import Reply, Upstream
from tests.support.raw_http import RawAnswer
from tests.support.waiting import until

AUTHORIZATION = "Authorization: Bearer sk-client"
ASK: dict[str, Any] = {"model": "my-model", "messages": [{"role": "user", "content": "hello"}]}
BOTH = pytest.mark.parametrize("path", ["/proxy", "/proxy/stream"])


def ask(program: Program, path: str, *headers: str, **members: Any) -> RawAnswer:
    return program.post(path, {**ASK, **members}, *(headers or (AUTHORIZATION,)))


def error_of(answer: RawAnswer) -> dict[str, Any]:
    """Return the error, whose id is that of the header."""
    body: dict[str, Any] = answer.json
    assert body.pop("request_id") == answer.value("x-request-id")
    return body


@pytest.mark.ledger("H6")
@pytest.mark.parametrize("path", ["/proxy", "/proxy/"])
def test_the_answer_is_a_chat_completion_with_usage(stub: Program, path: str) -> None:
    answer = ask(stub, path)
    body = answer.json
    assert answer.status == 200 and body.pop("id") and body.pop("created")
    assert body == {
        "object": "chat.completion",
        "model": "my-model",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "stub response", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4},
    }


@pytest.mark.ledger("H6")
@pytest.mark.parametrize("path", ["/proxy/stream", "/proxy/stream/"])
def test_the_stream_is_text_and_ends_with_done(stub: Program, path: str) -> None:
    answer = ask(stub, path, AUTHORIZATION, "x-request-id: mine")
    assert answer.status == 200 and answer.value("x-request-id") == "mine"
    assert answer.value("content-type") == "text/event-stream; charset=utf-8"
    assert answer.body == b"data: stub \n\ndata: response\n\ndata: [DONE]\n\n"


@pytest.mark.ledger("H6")
@BOTH
def test_it_needs_an_authorization_before_the_body_is_read(stub: Program, path: str) -> None:
    with stub.client() as client:
        client.request("POST", path, "Content-Length: 100", "Authorization: ", "X-API-Key: some-key")
        answer = client.read_answer()
    assert answer.status == 401 and answer.value("www-authenticate") == "Bearer"
    message = "The Authorization header is missing. Send `Authorization: Bearer <key>`"
    assert error_of(answer) == {"error": "Unauthorized", "detail": message}


@pytest.mark.ledger("H6")
@BOTH
@pytest.mark.parametrize(
    ("messages", "detail"),
    [
        ([], "messages must not be empty"),
        ([{"role": "tool", "content": "x"}], "messages[0].role must be one of system, user, assistant, not 'tool'"),
        ([{"role": "user", "content": ""}], "messages[0].content must not be empty"),
        (
            [*ASK["messages"], {"role": "assistant", "content": "x"}],
            "messages[1].role must not be 'assistant' in the last message",
        ),
    ],
)
def test_a_wrong_conversation_is_refused_by_name(stub: Program, path: str, messages: object, detail: str) -> None:
    answer = ask(stub, path, messages=messages)
    assert (answer.status, error_of(answer)) == (400, {"error": "Bad Request", "detail": detail})


@pytest.mark.ledger("H6")
def test_a_system_message_may_be_the_last_one(stub: Program) -> None:
    assert ask(stub, "/proxy", messages=[*ASK["messages"], {"role": "system", "content": "Be brief."}]).status == 200


@pytest.mark.ledger("H6")
def test_any_provider_answers_and_lines_of_a_text_are_one_event(both: Program, upstream: Upstream) -> None:
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "one\ntwo"}}
    events: list[dict[str, Any]] = [
        {
            "type": "message_start",
            "message": {
                "id": "m",
                "type": "message",
                "role": "assistant",
                "model": "claude-x",
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": {"input_tokens": 3, "output_tokens": 1},
            },
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        delta,
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 4},
        },
        {"type": "message_stop"},
    ]
    frames = "".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in events).encode()
    upstream.next(Reply(headers=(("Content-Type", "text/event-stream"),), pieces=(frames,), framing="chunked"))
    answer = ask(both, "/proxy/stream", model="claude-x")
    assert answer.body == b"data: one\ndata: two\n\ndata: [DONE]\n\n"
    sent = upstream.only
    assert sent.path == "/v1/messages" and json.loads(sent.body)["stream"] is True
    assert ask(both, "/proxy", model="claude-x").json["object"] == "chat.completion"


@pytest.mark.ledger("H6")
def test_a_stream_that_breaks_ends_with_an_error_event(both: Program, upstream: Upstream) -> None:
    chunk = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-x",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hel"}, "finish_reason": None}],
    }
    frames = f"data: {json.dumps(chunk)}\n\n".encode()
    upstream.next(
        Reply(headers=(("Content-Type", "text/event-stream"),), pieces=(frames,), framing="chunked", end="cut")
    )
    answer = ask(both, "/proxy/stream", model="gpt-x")
    first, error, rest = answer.body.split(b"\n\n")
    assert (first, rest) == (b"data: Hel", b"")
    name, data = error.split(b"\n")
    assert name == b"event: error" and json.loads(data.removeprefix(b"data: "))["error"] == "Bad Gateway"


@pytest.mark.ledger("H10")
@BOTH
def test_a_model_that_the_provider_does_not_know_is_a_404(both: Program, upstream: Upstream, path: str) -> None:
    error = {"error": {"message": "model 'gpt-9' not found", "type": "not_found_error", "param": None, "code": None}}
    upstream.next(Reply(status=404, reason="Not Found", pieces=(json.dumps(error).encode(),)))
    answer = ask(both, path, model="gpt-9")
    assert (answer.status, answer.value("content-type")) == (404, "application/json")
    assert error_of(answer) == {"error": "Model Not Found", "detail": "model 'gpt-9' not found"}


@pytest.mark.ledger("H10")
@BOTH
def test_a_model_that_nobody_has_is_a_404(both: Program, path: str) -> None:
    answer = ask(both, path, model="nobody")
    error = error_of(answer)
    assert (answer.status, error["error"]) == (404, "Model Not Found")
    assert error["detail"].startswith("Unknown model 'nobody'. ") and " Available: " in error["detail"]


@pytest.mark.ledger("H9")
def test_faults_limits_and_long_bodies_are_reported_in_the_same_form(tmp_path: Path) -> None:
    (tmp_path / "fault.py").write_text(
        "from llmproxy.middleware.base import Middleware\n\n"
        "class Fault(Middleware):\n"
        "    async def on_request(self, exchange):\n"
        "        if exchange.model == 'faulty':\n"
        "            raise KeyError('oops')\n"
    )
    config = "providers: [{name: stub, type: stub, models: ['*']}]\nmiddlewares: [{type: './fault.py:Fault'}]\n"
    extra = {
        "MAX_REQUEST_BYTES": "200",
        "RATE_LIMIT_ENABLED": "true",
        "RATE_LIMIT_MAX_REQUESTS": "2",
        "RATE_LIMIT_WINDOW_SECONDS": "3600",
        "CORS_ALLOW_ORIGINS": "http://localhost:3000",
        "LOG_REQUESTS": "true",
    }
    with Program(tmp_path, config=config, extra=extra) as program:
        program.expect_tracebacks("fault.py")
        fault = ask(program, "/proxy/stream", model="faulty")
        assert (fault.status, error_of(fault)) == (500, {"error": "Internal Server Error"})
        long = ask(program, "/proxy", extra="x" * 200)
        assert long.status == 413 and error_of(long)["detail"]
        answer = ask(program, "/proxy", AUTHORIZATION, "Origin: http://localhost:3000")
        assert answer.status == 200
        assert answer.value("access-control-allow-origin") == "http://localhost:3000"
        limited = ask(program, "/proxy/stream")
        assert limited.status == 429 and limited.value("retry-after")
        assert error_of(limited)["error"] == "Too Many Requests"
        until(lambda: "POST /proxy/stream 429" in program.err, "the line of the last request")
        assert "KeyError: 'oops'" in program.err


@pytest.mark.ledger("H6")
def test_a_client_key_has_to_be_valid_and_goes_to_no_provider(tmp_path: Path, upstream: Upstream) -> None:
    config = f"""
providers: [{{name: main, type: openai, base_url: "{upstream.url}/v1", api_key: sk-own}}]
auth: {{mode: keys, keys: [{{name: ci, key: sk-client-1}}]}}
"""
    with Program(tmp_path, config=config) as program:
        wrong = ask(program, "/proxy", "Authorization: Bearer sk-other-1", model="gpt-x")
        assert (wrong.status, error_of(wrong)["error"]) == (401, "Unauthorized")
        assert ask(program, "/proxy", "X-API-Key: sk-client-1", model="gpt-x").status == 401
        assert ask(program, "/proxy", "Authorization: Bearer sk-client-1", model="gpt-x").status == 200
    assert upstream.only.value("authorization") == "Bearer sk-own"


@pytest.mark.ledger("H6")
def test_the_authorization_goes_before_the_configured_key_as_the_variables_say(
    tmp_path: Path, upstream: Upstream
) -> None:
    extra = {
        "MODEL_PROVIDER_MAP": "my-*=ollama",
        "OPENAI_COMPAT_BASE_URL": f"{upstream.url}/v1",
        "OPENAI_COMPAT_API_KEY": "sk-compat",
    }
    with Program(tmp_path, extra=extra) as program:
        assert ask(program, "/proxy").status == 200
        assert ask(program, "/proxy", model="other").json["choices"][0]["message"]["content"] == "stub response"
        samples = program.metrics()
    assert upstream.only.path == "/v1/chat/completions"
    assert upstream.only.value("authorization") == "Bearer sk-client"
    assert samples['http_requests_total{method="POST",path="/proxy",status="200"}'] == 2
