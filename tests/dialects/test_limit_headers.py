from __future__ import annotations

import pytest

from llmproxy.dialects.limit_headers import LimitStatus, write_limit_headers, write_reset


def test_the_headers_are_those_of_openai() -> None:
    status = LimitStatus(kind="tokens", limit=150_000, remaining=149_984, reset_s=6 * 60)

    assert write_limit_headers([status], 0) == (
        ("x-ratelimit-limit-tokens", "150000"),
        ("x-ratelimit-remaining-tokens", "149984"),
        ("x-ratelimit-reset-tokens", "6m0s"),
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.02, "20ms"),
        (1, "1s"),
        (12.5, "12.5s"),
        (60, "1m0s"),
        (72.5, "1m12.5s"),
        (3600, "1h0m0s"),
        (90_061, "25h1m1s"),
    ],
)
def test_durations_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert write_reset(seconds) == text
