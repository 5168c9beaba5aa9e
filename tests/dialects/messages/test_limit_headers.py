from __future__ import annotations

from llmproxy.dialects.limit_headers import LimitStatus
from llmproxy.dialects.messages.limit_headers import write_limit_headers


def test_the_headers_are_those_of_the_messages_api() -> None:
    status = LimitStatus(kind="requests", limit=50, remaining=49, reset_s=60)

    assert write_limit_headers([status], 1_800_000_000.2) == (
        ("anthropic-ratelimit-requests-limit", "50"),
        ("anthropic-ratelimit-requests-remaining", "49"),
        ("anthropic-ratelimit-requests-reset", "2027-01-15T08:01:01Z"),
    )
