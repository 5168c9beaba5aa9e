from __future__ import annotations

import json

import pytest

from llmproxy.answer import Answer, Headers, framing_of
from llmproxy.errors import BadRequest, BrokenStream, Overloaded, ProxyError, Untranslatable, UpstreamError
from llmproxy.failover.verdict import AttemptOutcome, judge_answer, judge_error
from llmproxy.route import RetryPolicy
from llmproxy.wire.compression import compress
from tests.support.exchanges import new_call, new_exchange
from tests.support.targets import Line, Moody, reply

POLICY = RetryPolicy()


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (UpstreamError("down"), "failed"),
        (UpstreamError("late", status=504), "failed"),
        (BrokenStream("cut"), "failed"),
        (UpstreamError("busy", status=529), "failed"),
        (UpstreamError("the model failed", status=424), "failed"),
        (UpstreamError("no", status=400, code="context_length_exceeded"), "unable"),
        (UpstreamError("no", status=400, code="invalid_value"), "done"),
        (ProxyError("busy", status=503, retryable=True), "failed"),
        (Untranslatable("no audio", param="messages[0]"), "unable"),
        (BadRequest("no"), "done"),
        (Overloaded("full"), "done"),
    ],
)
def test_errors_are_judged_by_status_and_code(error: ProxyError, verdict: AttemptOutcome) -> None:
    assert judge_error(POLICY, new_call(), error) is verdict


def test_without_connection_a_provider_that_is_down_is_the_clients_to_know() -> None:
    assert judge_error(RetryPolicy(on_connection=False), new_call(), UpstreamError("down")) == "done"


@pytest.mark.parametrize("other", [True, False, None])
def test_a_refused_credential_is_replaced_while_there_is_another(other: bool | None) -> None:
    line = Line(Moody("one"), Moody("two"))
    call = new_call(other_credential=other)
    verdict = judge_answer(line.exchange(), line.route, call, reply(401))
    assert verdict == {True: "refused", False: "failed", None: "done"}[other]


_FAILED = {"object": "response", "status": "failed", "output": []}
_CHOICE = {"message": {"role": "assistant", "content": '"status": "failed"'}}


@pytest.mark.parametrize("encoding", ["", "gzip"])
@pytest.mark.parametrize(
    ("path", "body", "verdict"),
    [
        ("/v1/responses", {**_FAILED, "error": {"code": "server_error", "message": "m"}}, "failed"),
        ("/v1/responses", {**_FAILED, "error": {"code": "rate_limit_exceeded"}}, "failed"),
        ("/v1/responses", {**_FAILED, "error": {"code": "context_length_exceeded"}}, "unable"),
        ("/v1/responses", {**_FAILED, "error": None}, "failed"),
        ("/v1/responses", {**_FAILED, "status": "completed", "output": [{"status": "failed"}]}, "done"),
        ("/v1/responses", {**_FAILED, "status": "incomplete"}, "done"),
        ("/v1/chat/completions", {"choices": [{**_CHOICE, "finish_reason": "error"}]}, "failed"),
        ("/v1/chat/completions", {"choices": [{**_CHOICE, "finish_reason": "stop"}]}, "done"),
        ("/v1/completions", {"choices": [{"text": "", "finish_reason": "error"}]}, "done"),
    ],
)
def test_an_answer_of_status_200_that_failed_inside_is_a_failure(
    path: str, body: dict[str, object], verdict: AttemptOutcome, encoding: str
) -> None:
    line, raw = Line(Moody("one")), json.dumps(body, indent=1).encode()
    sent = reply(200, *([("Content-Encoding", encoding)] if encoding else []), body=compress(raw, encoding))
    assert judge_answer(new_exchange(path, body={"model": "m"}), line.route, new_call(), sent) is verdict


def test_a_body_that_cannot_be_decoded_is_the_clients() -> None:
    line = Line(Moody("one"))
    sent = reply(200, ("Content-Encoding", "gzip"), body=b'{"error": {"message": "m"}}')
    assert judge_answer(line.exchange(), line.route, new_call(), sent) == "done"


def test_the_code_of_a_compressed_error_is_read() -> None:
    line = Line(Moody("one"))
    body = compress(b'{"error": {"code": "context_length_exceeded", "message": "m"}}', "gzip")
    answer = reply(400, ("Content-Encoding", "gzip"), body=body)
    assert judge_answer(line.exchange(), line.route, new_call(), answer) == "unable"
    broken = reply(400, ("Content-Encoding", "gzip"), body=b"x")
    assert judge_answer(line.exchange(), line.route, new_call(), broken) == "done"


@pytest.mark.parametrize(
    ("body", "kind", "verdict"),
    [
        (b"", "application/json", "failed"),
        (b"<html>log in</html>", "text/html; charset=utf-8", "failed"),
        (b' {"error": {"message": "busy", "code": 503}}', "application/json", "failed"),
        (b'[{"error": {"message": "busy", "status": "UNAVAILABLE"}}]', "application/json", "failed"),
        (b'{"error": {"code": 400, "type": "context_length_exceeded"}}', "application/json", "unable"),
        (b'{"error": {"message": "bad", "code": 400}}', "application/json", "done"),
        (b'{"error": null, "choices": []}', "application/json", "done"),
        (b'{"type": "error", "error": {"type": "overloaded_error"}}', "application/json", "failed"),
        (b'{"type": "error", "request_id": "r", "error": {"type": "api_error"}}', "application/json", "failed"),
        (b'{"type": "error", "error": {"type": "invalid_request_error"}}', "application/json", "done"),
        (b'{"type": "message", "error": {"type": "api_error"}}', "application/json", "done"),
        (b"", "text/event-stream", "failed"),
    ],
)
def test_a_success_without_an_answer_in_it_is_none(body: bytes, kind: str, verdict: AttemptOutcome) -> None:
    line = Line(Moody("one"))
    answer = Answer(status=200, headers=Headers([("Content-Type", kind)]), body=body)
    answer.framing = framing_of(answer.headers, None, None, 200)
    assert judge_answer(line.exchange(), line.route, new_call(), answer) is verdict
