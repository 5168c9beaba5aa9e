from __future__ import annotations

import math
from typing import Any

import pytest

from llmproxy.console.formatting import (
    format_cost,
    format_count,
    format_duration,
    format_model,
    format_status,
    format_tokens,
    sanitize,
    sanitize_lines,
)
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage
from llmproxy.records.entry import entry_of
from tests.support.exchanges import ended


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [
        (None, "-"),
        (0.0, "0.0ms"),
        (0.44, "0.4ms"),
        (9.94, "9.9ms"),
        (9.97, "10ms"),
        (999.4, "999ms"),
        (999.6, "1.00s"),
        (1250.0, "1.25s"),
        (59_994.0, "59.99s"),
        (59_996.0, "1m00s"),
        (125_000.0, "2m05s"),
        (3_599_600.0, "1h00m"),
        (3_720_000.0, "1h02m"),
        (1e308, "-"),
        (math.inf, "-"),
        (math.nan, "-"),
    ],
)
def test_durations(milliseconds: float | None, expected: str) -> None:
    assert format_duration(milliseconds) == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (None, "-"),
        (0, "0"),
        (9_999, "9999"),
        (12_345, "12.3k"),
        (999_949, "999.9k"),
        (999_950, "1.0M"),
        (4_100_000, "4.1M"),
        (10**400, "-"),
    ],
)
def test_counts(number: int | None, expected: str) -> None:
    assert format_count(number) == expected


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, "-"),
        (Usage(), "-"),
        (Usage(cache_read=5), "-"),
        (Usage(input=1200, output=85), "1200/85"),
        (Usage(output=3), "-/3"),
        (Usage(input=1300, output=85, cache_read=0), "1300/85"),
        (Usage(input=1300, output=85, cache_read=1200), "1.3k in (1.2k cached), 85 out"),
        (Usage(input=900, output=1250, cache_read=50), "900 in (50 cached), 1.2k out"),
        (Usage(input=123_456, cache_read=120_000), "123.5k in (120.0k cached), - out"),
    ],
)
def test_tokens_that_nobody_counted_are_not_zero(usage: Usage | None, expected: str) -> None:
    assert format_tokens(usage) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "200"),
        ({"status": 429}, "429"),
        ({"status": None, "outcome": "cancelled"}, "left"),
        ({"outcome": "cancelled"}, "200 left"),
        ({"outcome": "broken"}, "200 broken"),
        ({"outcome": "incomplete"}, "200 incomplete"),
        ({"status": 502, "outcome": "error"}, "502"),
        ({"status": None, "outcome": "error"}, "-"),
    ],
)
def test_the_status_says_what_happened(changes: dict[str, Any], expected: str) -> None:
    assert format_status(entry_of(ended(**changes))) == expected


@pytest.mark.parametrize(
    ("asked", "served", "expected"),
    [
        ("gpt-4o", "gpt-4o", "gpt-4o"),
        ("fast", "gpt-4o-mini", "fast > gpt-4o-mini"),
        ("fast", None, "fast"),
        (None, "gpt-4o", "gpt-4o"),
        (None, None, "-"),
        ("a\x1b[2J", "b\n", "a\\x1b[2J > b\\x0a"),
    ],
)
def test_the_model_that_answered_is_named_where_it_is_another(asked: str, served: str, expected: str) -> None:
    entry = entry_of(ended(model=asked, summary=Summary(model=served), calls=[]))
    assert format_model(entry) == expected


@pytest.mark.parametrize("text", ["plain ~", "Grüße 你好", "👩‍👩‍👧 🙂", "نعم", ""])
def test_text_stays_as_it_is(text: str) -> None:
    assert sanitize(text) == text == sanitize_lines(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\nb\tc\r", "a\\x0ab\\x09c\\x0d"),
        ("\x7f\x9b", "\\x7f\\x9b"),
        ("\u202ereversed\u2066", "\\u202ereversed\\u2066"),
        ("ad\u200dmin \u200c", "ad\\u200dmin \\u200c"),
        (
            "\U0001f469\u200d\U0001f4bb \u0646\u0645\u06cc\u200c\u062e",
            "\U0001f469\u200d\U0001f4bb \u0646\u0645\u06cc\u200c\u062e",
        ),
        ("so\u00adft \u3164\u115f", "so\\xadft \\u3164\\u115f"),
        ("\ufeff\u200b\u2028", "\\ufeff\\u200b\\u2028"),
        ("\U000e0041", "\\U000e0041"),
        ("\udcff\ud83d", "\\udcff\\ud83d"),
    ],
)
def test_what_would_steer_a_terminal_is_escaped(text: str, expected: str) -> None:
    assert sanitize(text) == expected


def test_long_text_ends_in_an_ellipsis() -> None:
    assert sanitize("abcdef", 6) == "abcdef"
    assert sanitize("abcdefg", 6) == "abcde…"


def test_lines_keep_newlines_and_tabs_and_nothing_else() -> None:
    assert sanitize_lines("a\tb\r\nc\rd\x1b[m\x0b") == "a\tb\nc\\x0dd\\x1b[m\\x0b"


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        (None, "-"),
        (0.0, "$0"),
        (0.0000028, "$0.0000028"),
        (0.00042, "$0.00042"),
        (0.0125, "$0.0125"),
        (0.9999, "$1.00"),
        (12.345, "$12.35"),
        (1234.5, "$1234"),
        (math.inf, "-"),
    ],
)
def test_costs_are_in_dollars(cost: float | None, text: str) -> None:
    assert format_cost(cost) == text
