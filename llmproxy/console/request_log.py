"""Logs one line for each exchange that ended: to the same place, and in the same form, as all other messages.

The event loop only collects; a thread writes the lines, many at once. Names that were found to hold no secret are
remembered: looking for secrets takes longer than all the rest. Begin reading at `RequestLog.end`.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

from llmproxy.console.formatting import UNKNOWN, format_cost, format_duration, format_tokens, sanitize
from llmproxy.dialects.usage import Usage
from llmproxy.exchange import Exchange
from llmproxy.records.background_writer import BackgroundWriter
from llmproxy.records.entry import entry_of
from llmproxy.redaction.secrets import mask_text, secrets_of

log = logging.getLogger("llmproxy.requests")

_PATH, _MODEL, _NAME, _ERROR = 200, 200, 80, 500
_MOST_KNOWN = 2000


class _Names(NamedTuple):
    """The words of an exchange that come from outside, without secrets."""

    path: str
    model: str | None
    served_model: str | None
    session: str | None
    client: str


class _Ended(NamedTuple):
    """One exchange. Its members are those of a line of JSON, in milliseconds where they are times."""

    names: _Names
    error: tuple[str, str] | None
    ended_s: float
    usage: Usage | None
    request_id: str
    id: str
    method: str
    status: int | None
    outcome: str
    dialect: str | None
    provider: str | None
    stream: bool
    cache: str | None
    duration_ms: float
    first_byte_ms: float | None
    first_token_ms: float | None
    cost_usd: float | None
    attempts: int

    def __str__(self) -> str:
        """Return the line of text: what was asked, by whom, and how it went."""
        names = self.names
        parts = [self.method, sanitize(names.path, _PATH), self._outcome()]
        if names.model is not None:
            served = names.served_model
            model = names.model if served in (None, names.model) else f"{names.model} > {served}"
            provider = self.provider or ("cache" if self.cache == "hit" else UNKNOWN)
            parts += [f"model={sanitize(model, _MODEL)}", f"provider={sanitize(provider, _NAME)}"]
            parts += [f"tokens={format_tokens(self.usage)}", f"first={format_duration(self.first_token_ms)}"]
        parts += [f"total={format_duration(self.duration_ms)}", f"client={sanitize(names.client, _NAME)}"]
        if self.cost_usd:
            parts.append(f"cost={format_cost(self.cost_usd)}")
        if names.session is not None:
            parts.append(f"session={sanitize(names.session, _NAME)}")
        if self.attempts > 1:
            parts.append(f"attempts={self.attempts}")
        if self.error is not None:
            parts.append(f"error={sanitize(': '.join(self.error), _ERROR)}")
        return f"{' '.join(parts)} (request {self.request_id})"

    def _outcome(self) -> str:
        status = UNKNOWN if self.status is None else str(self.status)
        return status if self.outcome in ("complete", "error") else f"{status} {self.outcome}"

    def fields(self) -> dict[str, object]:
        """Return the members of a line of JSON; what is unknown is left out."""
        usage, error = self.usage, self.error
        values: dict[str, object] = {
            "message": f"{self.method} {self.names.path} {self._outcome()}",
            **self.names._asdict(),
            **dict(zip(_PLAIN, self[_FIRST_PLAIN:], strict=True)),
            "input_tokens": None if usage is None else usage.input,
            "output_tokens": None if usage is None else usage.output,
            "error_code": None if error is None else error[0],
            "error": None if error is None else error[1],
        }
        return {name: value for name, value in values.items() if value is not None}


_FIRST_PLAIN = _Ended._fields.index("request_id")
_PLAIN = _Ended._fields[_FIRST_PLAIN:]


class RequestLines:
    """Writes the lines, in a thread."""

    def write(self, item: _Ended) -> None:
        """Log one exchange."""
        failed = (item.status or 0) >= 500 or item.outcome in ("broken", "incomplete")
        record = logging.LogRecord(log.name, logging.WARNING if failed else logging.INFO, "", 0, item, None, None)
        record.created, record.msecs = item.ended_s, item.ended_s % 1 * 1000
        record.fields = item.fields
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
        self._known: OrderedDict[tuple[str | None, ...], _Names] = OrderedDict()
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
        started_s, summary, endpoint = exchange.started_s, exchange.summary, exchange.endpoint
        call = exchange.calls[-1] if exchange.calls else None
        took_s = exchange.ended_s - started_s
        names, error = self._names(exchange)
        self._writer.put(
            _Ended(
                names=names,
                error=error,
                ended_s=exchange.began_s + took_s,
                usage=summary.usage,
                request_id=exchange.request_id,
                id=exchange.id,
                method=exchange.method,
                status=exchange.status,
                outcome=exchange.outcome,
                dialect=None if endpoint is None else endpoint.dialect.name,
                provider=None if call is None else call.target.provider.name,
                stream=exchange.stream,
                cache=exchange.cache,
                duration_ms=round(took_s * 1000, 3),
                first_byte_ms=_since(None if call is None else call.first_byte_s, started_s),
                first_token_ms=_since(exchange.first_token_s, started_s),
                cost_usd=exchange.cost_usd,
                attempts=len(exchange.calls),
            )
        )

    def _names(self, exchange: Exchange) -> tuple[_Names, tuple[str, str] | None]:
        """Return the words from outside and the error, code and message, without secrets."""
        call, summary = exchange.calls[-1] if exchange.calls else None, exchange.summary
        served = summary.model or (None if call is None else call.model)
        key = (exchange.full_path, exchange.model, served, exchange.session_id, exchange.client.label)
        failed = exchange.error is not None or summary.error is not None
        if not failed and (known := self._known.get(key)) is not None:
            return known, None
        entry, secrets = entry_of(exchange), secrets_of(exchange)
        client = entry.client.name or entry.client.address
        plain = _Names(entry.path, entry.model, entry.served_model, entry.session, client)
        names = _Names._make(None if text is None else mask_text(text, secrets) for text in plain)
        if names == plain:
            self._known[key] = names
            if len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        error = entry.error
        return names, None if error is None else (error.code, mask_text(error.message, secrets))


def _since(moment_s: float | None, started_s: float) -> float | None:
    return None if moment_s is None else round(max(moment_s - started_s, 0.0) * 1000, 3)
