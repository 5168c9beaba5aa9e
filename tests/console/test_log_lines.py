from __future__ import annotations

import json
import logging
import sys

from llmproxy.console.log_lines import JsonLogFormatter, LogFormatter
from llmproxy.log_context import current_request_id


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


def test_a_message_within_a_request_carries_its_id() -> None:
    token = current_request_id.set("r-7")
    try:
        assert formatted("slow").endswith(": slow (request r-7)")
        assert formatted("exchange r-7 failed").endswith(": exchange r-7 failed"), "but not twice"
        record = logging.LogRecord("llmproxy.x", logging.INFO, "f", 1, "slow", (), None)
        assert json.loads(JsonLogFormatter().format(record))["request_id"] == "r-7"
    finally:
        current_request_id.reset(token)


def test_json_is_one_line_whatever_is_logged() -> None:
    record = logging.LogRecord("llmproxy.x", logging.ERROR, "f", 1, "a\nb\ud800 %s", ("ü",), None)
    line = JsonLogFormatter().format(record)
    assert "\n" not in line and json.loads(line)["message"].startswith("a\nb")
