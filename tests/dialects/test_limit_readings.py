"""Headers that say what is left of a limit: in every vendor's form, broken ones too."""

from __future__ import annotations

import pytest

from llmproxy.dialects import catalog
from llmproxy.dialects.limit_readings import LimitReading, read_amount, read_reset

NOW_S = 1_800_000_000.0  # 2027-01-15T08:00:00Z


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *[("1m12.5s", 72.5), ("6ms", 0.006), ("1h0m0s", 3600.0), ("6m0s", 360.0), ("20ms", 0.02), ("1.5s", 1.5)],
        *[("2m59.56s", 179.56), ("7.66s", 7.66), ("1d2h", 93600.0), ("0s", 0.0), ("12", 12.0), ("0.25", 0.25)],
        *[(f"{NOW_S + 30:.0f}", 30.0), (f"{(NOW_S + 30) * 1000:.0f}", 30.0), ("1000000000000", None), ("1e12", None)],
        *[("2027-01-15T08:00:42Z", 42.0), ("2027-01-15T09:00:42+01:00", 42.0), ("2020-01-01T00:00:00Z", None)],
        *[("", None), ("-1", None), ("-5s", None), ("soon", None), ("nan", None), ("inf", None), ("9" * 400, None)],
        *[("2027-13-45T99:00:00Z", None), ("2027-01-15T08:00:42", None), ("1s2", None), ("9" * 30 + "s", None)],
        ("999999999999s", 999999999999.0),
    ],
)
def test_resets_are_read_in_every_form_and_anything_else_is_unknown(value: str, seconds: float | None) -> None:
    assert read_reset(value, NOW_S) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("value", "amount"), [("0", 0.0), ("59", 59.0), ("-1", None), ("", None), ("x", None), ("inf", None)]
)
def test_an_amount_that_is_negative_or_no_number_is_unknown(value: str, amount: float | None) -> None:
    assert read_amount(value) == amount


@pytest.mark.parametrize(
    ("headers", "readings"),
    [
        pytest.param(
            {
                "X-RateLimit-Limit-Requests": "60",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "1m12.5s",
                "x-ratelimit-limit-tokens": "150000",
                "x-ratelimit-remaining-tokens": "149984",
                "x-ratelimit-reset-tokens": "6ms",
            },
            [("requests", 60, 0, 72.5), ("tokens", 150000, 149984, 0.006)],
            id="openai",
        ),
        pytest.param(
            {
                "x-ratelimit-remaining-requests": "9",
                "x-ratelimit-remaining-tokens": "-1",
                "x-ratelimit-reset-tokens": "8",
            },
            [("requests", None, 9, None), ("tokens", None, None, 8)],
            id="azure",
        ),
        pytest.param(
            {
                "anthropic-ratelimit-requests-limit": "50",
                "anthropic-ratelimit-requests-remaining": "49",
                "anthropic-ratelimit-requests-reset": "2027-01-15T08:00:02Z",
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": "2027-01-15T08:00:30Z",
            },
            [("requests", 50, 49, 2), ("input-tokens", None, 0, 30)],
            id="anthropic",
        ),
        pytest.param(
            {
                "anthropic-ratelimit-unified-status": "rejected",
                "anthropic-ratelimit-unified-reset": f"{NOW_S + 900:.0f}",
                "anthropic-ratelimit-unified-5h-utilization": "0.75",
                "anthropic-ratelimit-unified-5h-reset": f"{NOW_S + 900:.0f}",
                "anthropic-ratelimit-unified-fallback": "available",
            },
            [("unified", None, 0, 900), ("unified-5h", 1, 0.25, 900)],
            id="anthropic-subscription",
        ),
        pytest.param({"x-ratelimit-limit": "5", "x-ratelimit-reset": "1"}, [("requests", 5, None, 1)], id="together"),
        pytest.param({"ratelimit-remaining": "0"}, [("requests", None, 0, None)], id="draft"),
        pytest.param({"x-request-id": "1", "retry-after": "3", "x-ratelimit-other": "1"}, [], id="none"),
    ],
)
def test_each_vendor_is_understood(headers: dict[str, str], readings: list[tuple[str, float, float, float]]) -> None:
    read = catalog.limit_readings(headers, NOW_S)
    assert [(each.kind, each.limit, each.remaining) for each in read] == [each[:3] for each in readings]
    assert [each.reset_s for each in read] == [each[3] and pytest.approx(each[3]) for each in readings]


def test_a_limit_is_used_up_only_where_nothing_is_left_until_a_known_time() -> None:
    assert LimitReading(kind="r", remaining=0.0, reset_s=3.0).used_up_s == 3.0
    assert LimitReading(kind="r", remaining=0.0).used_up_s is None
    assert LimitReading(kind="r", reset_s=3.0).used_up_s is None
