"""Format log lines, so that text from outside neither moves the cursor nor begins a line of its own."""

from __future__ import annotations

import logging

from llmproxy.console.formatting import sanitize_lines

FORM = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class LogFormatter(logging.Formatter):
    """Formats a record as FORM says; further lines, such as those of a traceback, are indented."""

    def __init__(self) -> None:
        super().__init__(FORM)

    def format(self, record: logging.LogRecord) -> str:
        return sanitize_lines(super().format(record)).replace("\n", "\n  ")
