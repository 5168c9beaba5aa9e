"""Say in the header `Retry-After` when Google wants the next try: it says so in the body of its errors alone.

Source: google.rpc.RetryInfo in the `details` of an error, whose `retryDelay` is a duration such as `45.837906927s`
(googleapis/python-genai#2114). Clients of other vendors read the header. Begin reading at `with_retry_after`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable
from typing import Any

from llmproxy.answer import Answer
from llmproxy.dialects.provider_errors import read_error
from llmproxy.wire.compression import DecodingError, decompress
from llmproxy.wire.json import read_value

_STATUSES = (429, 503)
_READ_BYTES = 64 * 1024
_DURATION = re.compile(r"([0-9]{1,6})(\.[0-9]{1,9})?s")
_INFO = "google.rpc.RetryInfo"
_INVALID_KEY = "API_KEY_INVALID"

Adapt = Callable[[Answer], Awaitable[Answer]]


def with_retry_after(adapt: Adapt | None) -> Adapt:
    """Return what adds the header to an answer, before `adapt` changes it."""

    async def adapted(answer: Answer) -> Answer:
        if answer.status in _STATUSES and "Retry-After" not in answer.headers:
            await _add(answer)
        return answer if adapt is None else await adapt(answer)

    return adapted


async def read_error_body(answer: Answer) -> bytes:
    """Return the body of an error, decoded; b"" where that cannot be. It stays in the answer."""
    while answer.stream is not None and len(answer.body) < _READ_BYTES:
        data = await answer.stream.read()
        answer.stream = answer.stream if data else None
        answer.body += data
    try:
        return decompress(answer.body, answer.headers.get("Content-Encoding", ""), _READ_BYTES)
    except DecodingError:
        return b""


async def _add(answer: Answer) -> None:
    seconds = retry_delay_s(await read_error_body(answer))
    if seconds is not None:
        answer.headers["Retry-After"] = str(seconds)


def retry_delay_s(body: bytes) -> int | None:
    """Return the delay that the JSON of an error names, rounded up; None where it names none."""
    for detail in _details(body):
        if str(detail.get("@type")).endswith(_INFO):
            match = _DURATION.fullmatch(str(detail.get("retryDelay")))
            return None if match is None else math.ceil(float(match[1] + (match[2] or "")))
    return None


def is_invalid_key(body: bytes) -> bool:
    """Return whether the JSON of an error names the key as its reason, which Google does with status 400: the key is
    unknown or has expired (google.rpc.ErrorInfo; cloud.google.com/apis/design/errors)."""
    return any(detail.get("reason") == _INVALID_KEY for detail in _details(body))


def _details(body: bytes) -> list[dict[str, Any]]:
    _, error = read_error(read_value(body))
    details = error.get("details") if isinstance(error, dict) else None
    return [each for each in details if isinstance(each, dict)] if isinstance(details, list) else []
