from __future__ import annotations

import logging
import sys

from llmproxy.console.log_lines import LogFormatter


def formatted(message: str, *values: object) -> str:
    return LogFormatter().format(logging.LogRecord("llmproxy.x", logging.ERROR, "f", 1, message, values, None))


def test_a_line_says_when_how_bad_and_where() -> None:
    assert formatted("%d lost", 3).endswith(" ERROR llmproxy.x: 3 lost")


def test_text_from_outside_neither_steers_a_terminal_nor_begins_a_line() -> None:
    line = formatted("no model %s", "a\x1b[2J\x9b\u202e\n2026-01-01 ERROR llmproxy.x: forged")
    assert line.endswith("a\\x1b[2J\\x9b\\u202e\n  2026-01-01 ERROR llmproxy.x: forged")


def test_a_traceback_stands_below_its_line() -> None:
    try:
        raise ValueError("a\x9b\nb")
    except ValueError:
        record = logging.LogRecord("llmproxy.x", logging.ERROR, "f", 1, "failed", (), sys.exc_info())
    first, *more = LogFormatter().format(record).split("\n")
    assert first.endswith("failed") and more[0] == "  Traceback (most recent call last):"
    assert more[-2:] == ["  ValueError: a\\x9b", "  b"]
