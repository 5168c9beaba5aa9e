"""Google's delay before the next try becomes a header."""

from __future__ import annotations

import gzip
import json

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.providers.google_retry import is_invalid_key, retry_delay_s, with_retry_after
from llmproxy.providers.own_answers import FrameStream

INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "45.837906927s"}


def error(*details: object) -> bytes:
    return json.dumps({"error": {"code": 429, "message": "No", "details": list(details)}}).encode()


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        (error({"@type": "type.googleapis.com/google.rpc.Help"}, INFO), 46),
        (b"[" + error({**INFO, "retryDelay": "7s"}) + b"]", 7),
        (error({**INFO, "retryDelay": "soon"}), None),
        (error("no object"), None),
        (error(), None),
        (b'{"error": {"details": {"retryDelay": "7s"}}}', None),
        (b'{"error": "text"}', None),
        (b"<html>", None),
    ],
)
def test_the_delay_is_read_from_the_body(body: bytes, seconds: int | None) -> None:
    assert retry_delay_s(body) == seconds


def test_an_error_may_name_the_key_as_its_reason() -> None:
    assert is_invalid_key(error(INFO, {"reason": "API_KEY_INVALID", "domain": "googleapis.com"}))
    assert not any(is_invalid_key(each) for each in (error(INFO), error("API_KEY_INVALID"), b"API_KEY_INVALID"))


@pytest.mark.parametrize("status", [429, 503, 400])
@pytest.mark.parametrize("encoding", ["", "gzip", "br"])
async def test_the_header_is_added_and_the_body_stays(status: int, encoding: str) -> None:
    body = gzip.compress(error(INFO)) if encoding == "gzip" else error(INFO)
    headers = Headers([("Content-Encoding", encoding)] if encoding else [])
    answer = Answer(status=status, headers=headers, body=body[:9], stream=FrameStream([body[9:40], body[40:]]))
    answer = await with_retry_after(None)(answer)
    known = status != 400 and encoding != "br"
    assert answer.headers.get("Retry-After") == ("46" if known else None)
    if status != 400:
        assert (answer.body, answer.stream) == (body, None)


async def test_a_header_of_the_provider_stays_and_a_long_body_is_not_read_to_its_end() -> None:
    async def later(answer: Answer) -> Answer:
        answer.headers["x-later"] = "yes"
        return answer

    stream = FrameStream([b" " * 40_000] * 9)
    answer = Answer(status=503, headers=Headers(), stream=stream)
    answer = await with_retry_after(later)(answer)
    assert (len(answer.body), answer.stream, answer.headers["x-later"]) == (80_000, stream, "yes")
    named = Answer(status=503, headers=Headers([("Retry-After", "3")]), body=error(INFO))
    assert (await with_retry_after(None)(named)).headers["Retry-After"] == "3"
