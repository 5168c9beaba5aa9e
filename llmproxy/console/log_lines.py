"""Format log messages as text or JSON, so that text from outside neither moves the cursor nor begins a line of its own.

Messages about an exchange carry the id of its request, whoever logs them. Begin reading at `LogFormatter`.
"""

from __future__ import annotations

import logging
import time

import msgspec

from llmproxy.console.formatting import sanitize_lines
from llmproxy.log_context import current_request_id
from llmproxy.wire.text import replace_surrogates
from llmproxy.wire.timestamp import format_timestamp

FORM = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class LogFormatter(logging.Formatter):
    """Formats a record as FORM says; further lines, such as those of a traceback, are indented."""

    def __init__(self) -> None:
        super().__init__(FORM)
        self._second, self._clock = -1, ""

    def format(self, record: logging.LogRecord) -> str:
        return sanitize_lines(super().format(record)).replace("\n", "\n  ")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """Return the local time; what is the same within a second is kept, since a busy server logs every request."""
        if (second := int(record.created)) != self._second:
            self._second, self._clock = second, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        return f"{self._clock},{int(record.msecs):03d}"

    def formatMessage(self, record: logging.LogRecord) -> str:
        line, request_id = super().formatMessage(record), current_request_id.get()
        return line if request_id is None or request_id in line else f"{line} (request {request_id})"


class JsonLogFormatter(logging.Formatter):
    """Formats a record as one JSON object: `time`, `level`, `logger`, `message`, `request_id`, `traceback`.

    What the attribute `fields` of a record returns (of requests: all that is known) are members of it too.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": format_timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        fields = record.__dict__.get("fields")
        if callable(fields):
            line |= fields()
        else:
            line["message"] = replace_surrogates(record.getMessage())
        if (request_id := current_request_id.get()) is not None:
            line["request_id"] = request_id
        if record.exc_info:
            line["traceback"] = replace_surrogates(self.formatException(record.exc_info))
        return msgspec.json.encode(line).decode()
