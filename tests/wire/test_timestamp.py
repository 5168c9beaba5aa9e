from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llmproxy.wire.timestamp import format_timestamp, milliseconds


def test_a_time_is_utc_with_six_digits_of_microseconds() -> None:
    assert format_timestamp(1_700_000_000.25) == "2023-11-14T22:13:20.250000Z"
    assert format_timestamp(0) == "1970-01-01T00:00:00.000000Z"


def test_a_time_that_rounds_up_becomes_the_next_second() -> None:
    assert format_timestamp(1_700_000_000.9999999) == "2023-11-14T22:13:21.000000Z"


@given(st.floats(0, 1e6))
def test_milliseconds_have_three_decimals(seconds: float) -> None:
    shown = milliseconds(seconds)
    assert round(shown, 3) == shown
    assert abs(shown - round(seconds * 1000, 3)) <= 0.0011
