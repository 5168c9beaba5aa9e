"""Errors of providers, however they word them."""

from __future__ import annotations

import json

import pytest

from llmproxy.dialects.messages import DIALECT
from llmproxy.dialects.provider_errors import BadReply, code_of, decode_error, error_text, status_of
from llmproxy.errors import ProxyError

UNSAID = "The provider answered with status 400"


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (b'{"error":{"message":"No","type":"t","param":"x","code":"c"}}', "No", "c"),
        (b'{"error":{"message":"No","type":"t","code":null}}', "No", "t"),
        (b'{"type":"error","error":{"type":"t","message":"No"},"request_id":"r"}', "No", "t"),
        (b'{"error":{"message":"No","type":"t","details":{"error_code":"file_expired"}}}', "No", "file_expired"),
        (b'[{"error":{"code":400,"message":"No","status":"INVALID_ARGUMENT"}}]', "No", "INVALID_ARGUMENT"),
        (b'{"error":"No"}', "No", "upstream_error"),
        (b'{"message":"No"}', "No", "upstream_error"),
        (b'{"Message":"No"}', "No", "upstream_error"),  # AWS, to who may not call a model
        (b'{"object":"error","message":"No","type":"BadRequestError","code":400}', "No", "BadRequestError"),
        (b'{"errors":[{"code":1010,"message":"No"}],"success":false}', "No", "upstream_error"),
        (b'{"detail":"No"}', "No", "upstream_error"),
        (b'{"detail":[{"loc":["body"],"msg":"No"},{"msg":"Not that"}]}', "No; Not that", "upstream_error"),
        (b"no healthy upstream\n", "no healthy upstream", "upstream_error"),
        (b"<html>", UNSAID, "upstream_error"),
        (b"a" * 501, UNSAID, "upstream_error"),
        (b"\x1f\x8b\x08", UNSAID, "upstream_error"),
        (b"", UNSAID, "upstream_error"),
        (b"[]", UNSAID, "upstream_error"),
        (b'{"error":[]}', UNSAID, "upstream_error"),
        (b'{"error":{}}'[:9], UNSAID, "upstream_error"),
    ],
)
def test_the_message_is_kept_in_whatever_form_it_comes(body: bytes, message: str, code: str) -> None:
    error = decode_error(400, body)
    assert (error.status, error.message, error.code, error.param, error.retryable) == (400, message, code, None, False)


@pytest.mark.parametrize(
    "words",
    [
        "prompt is too long: 210000 tokens > 200000 maximum",  # Anthropic
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 9.",  # OpenAI, vLLM
        "Your input exceeds the context window of this model.",  # OpenAI
        "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).",  # Gemini
        "Input is too long for requested model.",  # Bedrock
        "the request exceeds the available context size",  # llama.cpp
    ],
)
def test_a_request_that_is_too_long_has_one_code(words: str) -> None:
    body = json.dumps({"error": {"message": words, "type": "invalid_request_error"}}).encode()
    assert decode_error(400, body).code == decode_error(413, body).code == "context_length_exceeded"
    assert decode_error(500, body).code == "invalid_request_error"


@pytest.mark.parametrize("status", [408, 429, 500, 503, 529])
def test_what_may_succeed_later_is_retryable(status: int) -> None:
    error = decode_error(status, b"")
    assert (error.status, error.retryable) == (status, True)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 429, 500, 504, 529])
def test_what_is_written_for_a_status_means_that_status_in_a_stream(status: int) -> None:
    written = json.loads(DIALECT.write_error(ProxyError("why", status=status), "r"))
    assert status_of(written["error"]) == status


@pytest.mark.parametrize(
    ("error", "status"),
    [({"code": 429}, 429), ({"code": "529"}, 529), ({"code": 1010, "type": "slow_down"}, 503), ({"type": "new"}, 502)],
)
def test_a_code_may_be_a_status(error: dict[str, object], status: int) -> None:
    assert status_of(error) == status


def test_what_is_no_error_object_is_a_bad_gateway_without_a_name() -> None:
    assert status_of(None) == status_of({"type": []}) == 502
    assert code_of("x") is None and code_of({"details": []}) is None


def test_a_bad_reply_lets_another_target_be_tried() -> None:
    error = BadReply("No")
    assert (error.status, error.retryable) == (502, True)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error":{"message":"No"}}', "No"),
        (b'{"detail":[{"msg":"No"}]}', "No"),
        (b"<html><title> 503 Service&nbsp;Unavailable\n</title><body>x", "503 Service Unavailable"),
        (b"<!DOCTYPE html><html><title></title><style>a{}</style><script>x()</script><h1>Gone</h1> away", "Gone away"),
        (
            b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Denied</Message></Error>",
            "AccessDenied Denied",
        ),
        (b"no healthy\n upstream ", "no healthy upstream"),
        (b"word " * 100, ("word " * 40)[:199] + "\u2026"),
        (b'{"unknown": "form"}', '{"unknown": "form"}'),
        (b"<html><script>never closed", None),
        (b"\x00\x01\x02\x03", None),
        (b"  ", None),
    ],
)
def test_the_first_words_say_why_whatever_the_form(body: bytes, words: str | None) -> None:
    assert error_text(body) == words
