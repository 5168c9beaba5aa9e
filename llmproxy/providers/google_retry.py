"""Say in the header `Retry-After` when Google wants the next try: it says so in the body of its errors alone.

Source: google.rpc.RetryInfo in the `details` of an error, whose `retryDelay` is a duration such as `45.837906927s`
(googleapis/python-genai#2114). Clients of other vendors read the header. Begin reading at `with_retry_after`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable

from llmproxy.answer import Answer
from llmproxy.dialects.provider_errors import read_error
from llmproxy.wire.compression import DecodingError, decompress
from llmproxy.wire.json import read_value

_STATUSES = (429, 503)
_READ_BYTES = 64 * 1024
_DURATION = re.compile(r"([0-9]{1,6})(\.[0-9]{1,9})?s")
_INFO = "google.rpc.RetryInfo"

Adapt = Callable[[Answer], Awaitable[Answer]]


def with_retry_after(adapt: Adapt | None) -> Adapt:
    """Return what adds the header to an answer, before `adapt` changes it."""

    async def adapted(answer: Answer) -> Answer:
        if answer.status in _STATUSES and "Retry-After" not in answer.headers:
            await _add(answer)
        return answer if adapt is None else await adapt(answer)

    return adapted


async def _add(answer: Answer) -> None:
    while answer.stream is not None and len(answer.body) < _READ_BYTES:
        data = await answer.stream.read()
        answer.stream = answer.stream if data else None
        answer.body += data
    try:
        body = decompress(answer.body, answer.headers.get("Content-Encoding", ""), _READ_BYTES)
    except DecodingError:
        return
    seconds = retry_delay_s(body)
    if seconds is not None:
        answer.headers["Retry-After"] = str(seconds)


def retry_delay_s(body: bytes) -> int | None:
    """Return the delay that the JSON of an error names, rounded up; None where it names none."""
    _, error = read_error(read_value(body))
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and str(detail.get("@type")).endswith(_INFO):
            match = _DURATION.fullmatch(str(detail.get("retryDelay")))
            return None if match is None else math.ceil(float(match[1] + (match[2] or "")))
    return None
