"""The lines of the printer: one for each exchange, in fixed columns.

`LinePrinter` is the sink of a `BackgroundWriter`, so it runs in a thread. Only ASCII is added to text from outside,
since some consoles show nothing else. Begin reading at `LinePrinter.write`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import assert_never

from llmproxy.console.formatting import (
    UNKNOWN,
    format_cost,
    format_duration,
    format_error,
    format_provider,
    format_short_model,
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
_ID, _LEAST, _LEAST_CUT = 8, 6, 40
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
        parts = [
            _Part(
                f"{_clock(int(event.began_s), self._clock_form)} {event.method:<4} {sanitize(path or '', _PATH):<20}"
            ),
            _Part(f" {sanitize(model or '', _MODEL):<24}"),
            _Part(f" from {client}", 1),
            _Part(_session(session), 2),
            _Part(f" (id {event.id[:_ID]})"),
        ]
        return self._coloured(_joined(parts, self._console.width()), _DIM)

    def _end(self, event: ExchangeEnded) -> str:
        entry = event.entry
        path, model, session = _masked((entry.path, format_short_model(entry), entry.session), event.secrets)
        call = f" {entry.method:<4} {sanitize(path or '', _PATH):<20}"
        parts = [
            _Part(_clock(int(event.began_s + entry.duration_ms / 1000), self._clock_form)),
            _Part(call if self._requests else "", 5),
            _Part(f" {sanitize('' if model in (None, UNKNOWN) else model, _MODEL):<24}"),
        ]
        if self._responses:
            parts += self._outcome(entry, event.secrets)
        if self._requests:
            thread = "" if entry.thread is None else sanitize(mask_text(entry.thread, event.secrets), _ID)
            parts += [_Part(_session(session), 3), _Part(f" thread {thread}" if thread else "", 4)]
        if self._responses and len(entry.attempts) > 1:
            parts.append(_Part(f" {len(entry.attempts)} attempts", 2))
        if entry.failed or self._arrivals:
            parts.append(_Part(f" (id {entry.id[:_ID]})", 2))
        return _joined(parts, self._console.width())

    def _outcome(self, entry: Entry, secrets: tuple[str, ...]) -> Iterator[_Part]:
        """Yield provider and status, then the error where there is one, and what is known of tokens, times and cost."""
        provider = format_provider(entry)
        yield _Part(f" {'' if provider == UNKNOWN else sanitize(provider, _PROVIDER):<10}", 1)
        yield _Part(f" {format_status(entry):<3}", colour=self._colour(_colour(entry)))
        if entry.error is not None:
            message = sanitize(mask_text(format_error(entry.error), secrets), _ERROR)
            yield _Part(f" error {message}", colour=self._colour(_RED), cut=True)
        tokens = format_tokens(entry.usage)
        if tokens != UNKNOWN or entry.error is None:
            yield _Part(f" {'' if tokens == UNKNOWN else f'tokens {tokens}':<18}")
        if entry.first_token_ms is not None or entry.error is None:
            first = "" if entry.first_token_ms is None else f"first {format_duration(entry.first_token_ms)}"
            yield _Part(f" {first:<12}", 7)
        yield _Part(f" total {format_duration(entry.duration_ms):<6}")
        yield _Part(f"  cost {format_cost(entry.cost_usd)}" if entry.cost_usd else "", 6)

    def _colour(self, colour: str) -> str:
        return colour if self._console.colours else ""

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


@dataclass(slots=True)
class _Part:
    """A part of a line. On a narrow terminal parts are left out by `rank`, the highest first, never those of rank 0;
    one that may be `cut` ends in an ellipsis then. A `colour` begins behind the space in front."""

    text: str
    rank: int = 0
    colour: str = ""
    cut: bool = False


def _joined(parts: list[_Part], width: int | None) -> str:
    """Return the line, of at most `width` columns of a terminal."""
    if width is not None and sum(len(part.text) for part in parts) > width:
        _narrow(parts, width)
    line = "".join(
        f" {part.colour}{part.text[1:]}{_PLAIN}" if part.colour and part.text else part.text for part in parts
    )
    return line.rstrip()


def _narrow(parts: list[_Part], width: int) -> None:
    """Leave out the least important parts, then the space that lines them up, then the provider; cut what still does
    not fit, an error first."""
    room = width - sum(_LEAST_CUT for part in parts if part.cut and len(part.text) > _LEAST_CUT)
    for step in (_drop, _strip, _drop_all):
        step(parts, room)
    over = sum(len(part.text) for part in parts) - width
    for part in sorted(parts, key=lambda part: (not part.cut, -len(part.text))):
        if over > 0:
            kept = max(len(part.text) - over, _LEAST)
            over -= len(part.text) - kept
            part.text = part.text if len(part.text) <= kept else part.text[: kept - 3].rstrip() + "..."


def _needed(parts: list[_Part]) -> int:
    return sum(len(part.text) for part in parts if not part.cut or len(part.text) <= _LEAST_CUT)


def _drop(parts: list[_Part], room: int, least: int = 2) -> None:
    over = _needed(parts) - room
    for part in sorted(parts, key=lambda part: -part.rank):
        if over > 0 and part.rank >= least:
            over -= len(part.text)
            part.text = ""


def _strip(parts: list[_Part], room: int) -> None:
    if _needed(parts) > room:
        for part in parts:
            part.text = part.text.rstrip()


def _drop_all(parts: list[_Part], room: int) -> None:
    _drop(parts, room, least=1)


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
