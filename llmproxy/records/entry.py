"""The summary of one exchange, for traces, the audit log, the console and the commands that read traces.

`entry_of` builds it once for each exchange that ended; it holds no secrets. `Entry` is also the head of the trace
format, version 1: its fields are public. Begin reading there.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from llmproxy.call import Call
from llmproxy.dialects.usage import Usage
from llmproxy.exchange import Exchange
from llmproxy.redaction.masking import all_secrets_of
from llmproxy.redaction.names import redact_query
from llmproxy.redaction.secrets import mask_text
from llmproxy.wire.text import replace_surrogates
from llmproxy.wire.timestamp import format_timestamp, milliseconds

RECORD_VERSION = 1

_NOTE = "llmproxy.entry"
# Clients and providers may send megabytes as a model name, or as an error.
_LONGEST = 2000
_READ_LENGTH = 64 * 1024

Milliseconds = Annotated[float, Meta(ge=0)]


class ClientEntry(msgspec.Struct, kw_only=True, gc=False):
    """Address, user agent and key name of the client."""

    address: str
    agent: str = ""
    name: str | None = None


class AttemptEntry(msgspec.Struct, kw_only=True, gc=False):
    """One call to one target. `url` has no credentials and no query; `error` is a stable code."""

    provider: str
    model: str | None = None
    url: str = ""
    status: int | None = None
    error: str | None = None
    started_ms: Milliseconds = 0.0
    ended_ms: Milliseconds | None = None


class ErrorEntry(msgspec.Struct, kw_only=True, gc=False):
    """Why an exchange failed. `code` is ours (`upstream_timeout`), or `provider_error` for the provider's errors."""

    code: str
    message: str


class WebSocketEntry(msgspec.Struct, kw_only=True, gc=False):
    """The traffic of a WebSocket behind its handshake. `close_code` is that of the first Close frame, null without one;
    `closed_by` is `client`, `provider` or `proxy`."""

    client_frames: int
    client_bytes: int
    provider_frames: int
    provider_bytes: int
    close_code: int | None = None
    closed_by: str | None = None


class Entry(msgspec.Struct, kw_only=True):
    """One exchange in short.

    `started` is UTC (RFC 3339, microseconds); all other times are milliseconds since then. `model` is the requested
    model, `served_model` the one that answered, as named by the provider where it named one. `rerouted_from` is what
    the client requested where a budget sent the request to `model` instead. `status` is the one sent to the client,
    null when it left before. `thread` names a conversation beside the main one of its session: that of a subagent, or
    `title`. `cache` is `hit`, `miss` or `bypass`, null without a cache. `outcome` is `complete`, `incomplete`,
    `cancelled`, `broken` or `error`; `complete` says whether the client got the whole answer. `usage` and its members
    are null when not reported. `cost_usd` is the price of its calls, null when it is unknown, 0 when none was made.
    `dropped` lists the JSON paths of fields that translation could not carry, `cache_marks` counts the prompt-cache
    marks that it added. `websocket` is set for a WebSocket that was opened; `usage` is then that of all its answers.
    Secrets in `query` and in `error` are masked.
    """

    version: int = RECORD_VERSION
    id: str
    request_id: str
    started: str
    duration_ms: Milliseconds
    first_byte_ms: Milliseconds | None = None
    first_token_ms: Milliseconds | None = None
    client: ClientEntry
    session: str | None = None
    thread: str | None = None
    cache: str | None = None
    method: str
    path: str
    query: str | None = None
    dialect: str | None = None
    model: str | None = None
    rerouted_from: str | None = None
    served_model: str | None = None
    provider: str | None = None
    route: str | None = None
    stream: bool = False
    status: int | None = None
    outcome: str
    complete: bool
    error: ErrorEntry | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    cost_usd: float | None = None
    dropped: list[str] = []
    cache_marks: int = 0
    websocket: WebSocketEntry | None = None
    attempts: list[AttemptEntry] = []

    @property
    def cost_unknown(self) -> bool:
        """Return whether a call to a model was made whose cost is unknown."""
        return self.cost_usd is None and self.model is not None and bool(self.attempts)

    @property
    def failed(self) -> bool:
        """Return whether it needs attention: an error, a status of 400 or more, an incomplete answer.

        A client that left is no failure.
        """
        return (self.status or 0) >= 400 or self.error is not None or self.outcome in ("broken", "error", "incomplete")


def entry_of(exchange: Exchange) -> Entry:
    """Return the entry of an exchange that ended. All callers get the same object."""
    entry = exchange.notes.get(_NOTE)
    if isinstance(entry, Entry):
        return entry
    entry = _entry(exchange)
    exchange.notes[_NOTE] = entry
    return entry


def _word(text: str | None) -> str | None:
    """Return a name from outside without credentials in URLs, cut."""
    return None if text is None else _short(_plain(text if len(text) <= _LONGEST else text[:_READ_LENGTH]))


def _plain(text: str) -> str:
    """Return a text from outside as it can be written, without credentials in URLs."""
    if text.isascii() and "@" not in text and "=" not in text:  # the usual case, in which none can be there
        return text
    return mask_text(replace_surrogates(text), ())


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _entry(exchange: Exchange) -> Entry:
    started_s, summary = exchange.started_s, exchange.summary
    ended_s = exchange.ended_s
    assert ended_s is not None
    attempts = [_attempt(call) for call in exchange.calls]
    last = attempts[-1] if attempts else None
    client, endpoint = exchange.client, exchange.endpoint
    return Entry(
        id=exchange.id,
        request_id=exchange.request_id,
        started=format_timestamp(exchange.began_s),
        duration_ms=milliseconds(ended_s - started_s),
        first_byte_ms=_since(exchange.calls[-1].first_byte_s if exchange.calls else None, started_s),
        first_token_ms=_since(exchange.first_token_s, started_s),
        client=ClientEntry(address=client.address, agent=_plain(client.agent), name=client.name),
        session=(session := _word(exchange.session_id)),
        thread=None if session is None else _word(exchange.thread_id),
        cache=exchange.cache,
        method=exchange.method,
        path=_plain(exchange.full_path),
        query=None if exchange.query is None else redact_query(replace_surrogates(exchange.query)),
        dialect=endpoint.dialect.name if endpoint else None,
        model=_word(exchange.model),
        rerouted_from=_word(exchange.rerouted_from),
        served_model=_word(summary.model or (last.model if last else None)),
        provider=last.provider if last else None,
        route=_word(exchange.route.name) if exchange.route else None,
        stream=exchange.stream,
        status=exchange.status,
        outcome=exchange.outcome,
        complete=exchange.outcome == "complete",
        error=_error(exchange),
        finish_reason=_word(summary.finish_reason),
        usage=summary.usage,
        cost_usd=exchange.cost_usd,
        dropped=[_plain(path) for path in dropped] if (dropped := exchange.dropped) else [],
        cache_marks=0 if exchange.call is None else exchange.call.cache_marks,
        websocket=_websocket(exchange),
        attempts=attempts,
    )


def _websocket(exchange: Exchange) -> WebSocketEntry | None:
    traffic = exchange.websocket
    if traffic is None or exchange.answer is None or exchange.answer.upgraded is None:
        return None
    return WebSocketEntry(
        client_frames=traffic.client_frames,
        client_bytes=traffic.client_bytes,
        provider_frames=traffic.provider_frames,
        provider_bytes=traffic.provider_bytes,
        close_code=traffic.close_code,
        closed_by=traffic.closed_by,
    )


def _since(moment_s: float | None, started_s: float) -> float | None:
    return None if moment_s is None else milliseconds(max(moment_s - started_s, 0.0))


def _attempt(call: Call) -> AttemptEntry:
    return AttemptEntry(
        provider=call.target.provider.name,
        model=_word(call.model),
        url=_plain(call.url),
        status=call.status,
        error=_word(call.error),
        started_ms=milliseconds(call.started_s),
        ended_ms=None if call.ended_s is None else milliseconds(call.ended_s),
    )


def _error(exchange: Exchange) -> ErrorEntry | None:
    """Return our error, else the one in the provider's answer."""
    error, provider_error = exchange.error, exchange.summary.error
    if error is None and provider_error is None:
        return None
    message = error.message if error is not None else provider_error or ""
    secrets = all_secrets_of(exchange)
    return ErrorEntry(
        code="provider_error" if error is None else _short(mask_text(replace_surrogates(error.code), secrets)),
        message=_short(mask_text(replace_surrogates(message), secrets)),
    )
