"""Logs one line for each exchange that ended: to the same place, and in the same form, as all other messages.

The event loop only collects; a thread writes the lines, many at once. Begin reading at `RequestLog.end`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import NamedTuple

from llmproxy.console.formatting import (
    format_cost,
    format_duration,
    format_model,
    format_provider,
    format_status,
    format_tokens,
    sanitize,
)
from llmproxy.exchange import Exchange
from llmproxy.records.background_writer import BackgroundWriter
from llmproxy.records.entry import Entry, entry_of
from llmproxy.redaction.secrets import mask_text, secrets_of

log = logging.getLogger("llmproxy.requests")

_PATH, _MODEL, _NAME, _ERROR = 200, 200, 80, 500


class _Ended(NamedTuple):
    entry: Entry
    secrets: tuple[str, ...]
    ended_s: float


class RequestLines:
    """Writes the lines, in a thread."""

    def write(self, item: _Ended) -> None:
        """Log one exchange."""
        entry, secrets = item.entry, item.secrets
        message = mask_text(_line(entry), secrets)
        record = logging.LogRecord(log.name, _level(entry), __file__, 0, message, None, None)
        record.created, record.msecs = item.ended_s, item.ended_s % 1 * 1000
        record.fields = {
            name: mask_text(value, secrets) if isinstance(value, str) else value
            for name, value in _fields(entry).items()
            if value is not None
        }
        log.handle(record)

    def flush(self) -> None:
        """Write what was logged."""
        logger: logging.Logger | None = log
        while logger is not None:
            for handler in logger.handlers:
                handler.flush()
            logger = logger.parent if logger.propagate else None

    def close(self) -> None:
        return


class RequestLog:
    """Logs every exchange, those with our own pages too."""

    watches_chunks = False

    def __init__(self) -> None:
        self._writer: BackgroundWriter[_Ended] = BackgroundWriter("request log", RequestLines())

    async def start(self) -> None:
        """Start the thread."""
        self._writer.start()

    async def close(self) -> None:
        """Write the rest."""
        await self._writer.close()

    def describe(self) -> Mapping[str, object]:
        """Return its state for `/health`."""
        return self._writer.describe()

    def begin(self, exchange: Exchange) -> None:
        """Do nothing: an exchange is logged when it has ended."""

    def chunk(self, exchange: Exchange, data: bytes) -> None:
        """Do nothing: answers are not logged."""

    def end(self, exchange: Exchange) -> None:
        """Log an exchange that ended."""
        assert exchange.ended_s is not None
        ended_s = exchange.began_s + exchange.ended_s - exchange.started_s
        self._writer.put(_Ended(entry_of(exchange), secrets_of(exchange), ended_s))


def _level(entry: Entry) -> int:
    return logging.WARNING if entry.failed and (entry.status or 0) >= 500 else logging.INFO


def _line(entry: Entry) -> str:
    """Return the message: what was asked, by whom, and how it went."""
    parts = [entry.method, sanitize(entry.path, _PATH), format_status(entry)]
    if entry.model is not None:
        parts += [
            f"model={sanitize(format_model(entry), _MODEL)}",
            f"provider={sanitize(format_provider(entry), _NAME)}",
        ]
        parts += [f"tokens={format_tokens(entry.usage)}", f"first={format_duration(entry.first_token_ms)}"]
    parts += [f"total={format_duration(entry.duration_ms)}", f"client={sanitize(_client(entry), _NAME)}"]
    if entry.cost_usd:
        parts.append(f"cost={format_cost(entry.cost_usd)}")
    if entry.session is not None:
        parts.append(f"session={sanitize(entry.session, _NAME)}")
    if len(entry.attempts) > 1:
        parts.append(f"attempts={len(entry.attempts)}")
    if entry.error is not None:
        parts.append(f"error={sanitize(f'{entry.error.code}: {entry.error.message}', _ERROR)}")
    return f"{' '.join(parts)} (request {entry.request_id})"


def _client(entry: Entry) -> str:
    return entry.client.name or entry.client.address


def _fields(entry: Entry) -> dict[str, object]:
    """Return what a line of JSON has beside the message."""
    usage, error = entry.usage, entry.error
    return {
        "request_id": entry.request_id,
        "id": entry.id,
        "client": _client(entry),
        "method": entry.method,
        "path": entry.path,
        "status": entry.status,
        "outcome": entry.outcome,
        "dialect": entry.dialect,
        "model": entry.model,
        "served_model": entry.served_model,
        "provider": entry.provider,
        "stream": entry.stream,
        "cache": entry.cache,
        "session": entry.session,
        "duration_ms": entry.duration_ms,
        "first_byte_ms": entry.first_byte_ms,
        "first_token_ms": entry.first_token_ms,
        "input_tokens": None if usage is None else usage.input,
        "output_tokens": None if usage is None else usage.output,
        "cost_usd": entry.cost_usd,
        "attempts": len(entry.attempts),
        "error_code": None if error is None else error.code,
        "error": None if error is None else error.message,
    }
