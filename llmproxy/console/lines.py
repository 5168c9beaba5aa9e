"""The lines of the printer: one for each exchange, in fixed columns.

`LinePrinter` is the sink of a `BackgroundWriter`, so it runs in a thread. Only ASCII is added to text from outside,
since some consoles show nothing else. Begin reading at `LinePrinter.write`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import assert_never

from llmproxy.console.formatting import (
    UNKNOWN,
    format_cost,
    format_duration,
    format_model,
    format_provider,
    format_status,
    format_tokens,
    sanitize,
)
from llmproxy.console.terminal import Console
from llmproxy.records.entry import Entry
from llmproxy.redaction.secrets import mask_text
from llmproxy.transcripts.preview import ExchangeBodies, preview
from llmproxy.wire.text import replace_surrogates

_PATH, _MODEL, _PROVIDER, _SESSION, _ERROR, _TEXT = 60, 60, 24, 40, 200, 300
_ID = 8
_RED, _YELLOW, _GREEN, _DIM, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[2m", "\x1b[0m"


@dataclass(slots=True)
class ExchangeStarted:
    """A request that arrived. `client` is a name or an address."""

    began_s: float
    id: str
    method: str
    path: str
    model: str | None
    client: str
    session: str | None
    secrets: tuple[str, ...]


@dataclass(slots=True)
class ExchangeEnded:
    """An exchange that ended. `bodies` hold its conversation, when it is printed and there was room for it;
    `held_bytes` counts the memory held for it.
    """

    began_s: float
    entry: Entry
    secrets: tuple[str, ...]
    bodies: ExchangeBodies | None
    held_bytes: int


class LinePrinter:
    """Prints events on `console`: requests, answers, or both in one line.

    `arrivals` says that arriving requests have lines of their own, so that lines need ids to match. `printed_bytes`
    counts the memory of conversations that can be released.
    """

    def __init__(self, console: Console, *, requests: bool, responses: bool, arrivals: bool) -> None:
        self.printed_bytes = 0
        self._console = console
        self._requests = requests
        self._responses = responses
        self._arrivals = arrivals
        # On a terminal the day is clear; a file is read later.
        self._clock_form = "%H:%M:%S" if console.terminal else "%Y-%m-%d %H:%M:%S"

    def write(self, item: ExchangeStarted | ExchangeEnded) -> None:
        """Add the lines of one event."""
        match item:
            case ExchangeStarted():
                self._console.add(self._arrival(item))
            case ExchangeEnded():
                try:
                    if self._requests or self._responses:
                        self._console.add(self._end(item))
                    if item.bodies is not None:
                        self._show(item.bodies)
                finally:
                    self.printed_bytes += item.held_bytes
            case _:
                assert_never(item)

    def flush(self) -> None:
        """Print the added lines."""
        self._console.flush()

    def close(self) -> None:
        return

    def _arrival(self, event: ExchangeStarted) -> str:
        path, model, session = _masked((event.path, event.model, event.session), event.secrets)
        client = sanitize(mask_text(replace_surrogates(event.client), event.secrets), _SESSION)
        return self._coloured(
            f"{_clock(int(event.began_s), self._clock_form)} {event.method:<4} {sanitize(path or '', _PATH):<20} "
            f"{sanitize(model or UNKNOWN, _MODEL):<24} from {client}"
            f"{_session(session)} (id {event.id[:_ID]})",
            _DIM,
        )

    def _end(self, event: ExchangeEnded) -> str:
        entry = event.entry
        path, model, session = _masked((entry.path, format_model(entry), entry.session), event.secrets)
        line = _clock(int(event.began_s + entry.duration_ms / 1000), self._clock_form)
        if self._requests:
            line = f"{line} {entry.method:<4} {sanitize(path or '', _PATH):<20}"
        line = f"{line} {sanitize(model or '', _MODEL):<24}"
        if self._responses:
            line += self._outcome(entry)
        if self._requests:
            line += _session(session)
            line += "" if entry.thread is None else f" thread {sanitize(mask_text(entry.thread, event.secrets), _ID)}"
        if self._responses and (entry.error is not None or len(entry.attempts) > 1):
            line += self._trouble(entry, event.secrets)
        if entry.failed or self._arrivals:
            line += f" (id {entry.id[:_ID]})"
        return line.rstrip()

    def _trouble(self, entry: Entry, secrets: tuple[str, ...]) -> str:
        attempts = f" {len(entry.attempts)} attempts" if len(entry.attempts) > 1 else ""
        if entry.error is None:
            return attempts
        message = sanitize(mask_text(f"{entry.error.code}: {entry.error.message}", secrets), _ERROR)
        return f"{attempts} {self._coloured(f'error {message}', _RED)}"

    def _outcome(self, entry: Entry) -> str:
        provider = sanitize(format_provider(entry), _PROVIDER)
        status = self._coloured(f"{format_status(entry):<3}", _colour(entry))
        first = f"first {format_duration(entry.first_token_ms)}"
        cost = f"  cost {format_cost(entry.cost_usd)}" if entry.cost_usd else ""
        return (
            f" {provider:<10} {status} tokens {format_tokens(entry.usage):<11} "
            f"{first:<12} total {format_duration(entry.duration_ms):<6}{cost}"
        )

    def _show(self, bodies: ExchangeBodies) -> None:
        """Add the conversation below its line."""
        conversation = preview(bodies)
        if conversation.question is not None:
            self._console.add(f"    request: {_text(conversation.question)}")
        calls = (
            f"[calls {', '.join(sanitize(name, _SESSION) for name in conversation.calls[:10])}]"
            if conversation.calls
            else ""
        )
        if conversation.answer is not None or calls:
            self._console.add(f"    answer: {_text(conversation.answer or '')} {calls}".rstrip())

    def _coloured(self, text: str, colour: str) -> str:
        return f"{colour}{text}{_PLAIN}" if self._console.colours else text


@lru_cache(maxsize=16)
def _clock(moment_s: int, form: str) -> str:
    return time.strftime(form, time.localtime(moment_s))


def _masked(texts: tuple[str | None, ...], secrets: tuple[str, ...]) -> tuple[str | None, ...]:
    """Mask secrets in `texts`. Do this before cutting them: half a secret would not be found."""
    together = replace_surrogates("\0".join(text or "" for text in texts))
    if mask_text(together, secrets) is together:
        return texts
    return tuple(None if text is None else mask_text(replace_surrogates(text), secrets) for text in texts)


def _session(session: str | None) -> str:
    return "" if session is None else f" session {sanitize(session, _SESSION)}"


def _text(text: str) -> str:
    """Return text of any length on one line."""
    return sanitize(" ".join(text[: _TEXT * 4].split()), _TEXT)


def _colour(entry: Entry) -> str:
    if entry.outcome == "cancelled" or 400 <= (entry.status or 0) < 500:
        return _YELLOW
    return _RED if entry.failed else _GREEN
