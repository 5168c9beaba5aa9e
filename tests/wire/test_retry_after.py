from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from llmproxy.wire.retry_after import retry_after_s


def read(**headers: str) -> float | None:
    return retry_after_s(CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()}))


def test_seconds_milliseconds_and_dates_are_read() -> None:
    assert read(Retry_After="7") == 7
    assert read(retry_after="0.5") == 0.5
    assert read(Retry_After="9", Retry_After_Ms="250") == 0.25
    date_s = read(Retry_After=formatdate(time.time() + 60, usegmt=True))
    assert date_s is not None and 55 < date_s < 61
    assert read() is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        "-3",
        "0",
        "nan",
        "inf",
        "soon",
        "Wed, 99 Foo 2026 99:99:99 GMT",
        formatdate(0, usegmt=True),
        "9" * 500,
        "1 2",
    ],
)
def test_what_says_nothing_counts_as_absent(value: str) -> None:
    assert read(Retry_After=value) is None
    assert read(retry_after_ms=value, Retry_After="2") == 2


@given(st.text())
def test_any_text_gives_a_time_or_nothing(text: str) -> None:
    seconds = read(Retry_After=text)
    assert seconds is None or seconds > 0
