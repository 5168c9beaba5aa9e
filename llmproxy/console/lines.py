"""Write the lines of the printer: one for each exchange, in columns that depend on the width of the terminal only.

`LinePrinter` is the sink of a `BackgroundWriter`, so it runs in a thread. Only ASCII is added to text from outside,
since some consoles show nothing else. Begin reading at `LinePrinter.write`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import assert_never

from rich.cells import cell_len, set_cell_size

from llmproxy.console.formatting import (
    UNKNOWN,
    format_cost,
    format_duration,
    format_error,
    format_provider,
    format_short_model,
    format_short_tokens,
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
_ID, _LEAST, _LEAST_CUT, _SHORT_SESSION = 8, 6, 40, 20
_MODEL_COLUMNS, _PROVIDER_COLUMNS = 24, 10
_WIDE, _CALL_FROM = 100, 140  # columns of a terminal: from here on there is room for words, and for method and path
# Green, yellow, cyan and blue cannot be read on white or on black in the palettes of usual terminals.
_RED, _MAGENTA, _BOLD, _DIM, _PLAIN = "\x1b[31m", "\x1b[35m", "\x1b[1m", "\x1b[2m", "\x1b[0m"


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
            _Part(f" {_pad(sanitize(model or '', _MODEL), _MODEL_COLUMNS)}"),
            _Part(f" from {client}", 1),
            _Part(_session(session), 2),
            _Part(f" (id {event.id[:_ID]})"),
        ]
        return self._coloured(_joined(parts, self._console.width()), _DIM)

    def _end(self, event: ExchangeEnded) -> str:
        entry, width = event.entry, self._console.width()
        path, model, session = _masked((entry.path, format_short_model(entry), entry.session), event.secrets)
        model = "" if model in (None, UNKNOWN) else sanitize(model, _MODEL)
        called = self._requests and (width is None or width >= _CALL_FROM)
        call = f"{entry.method:<4} {sanitize(path or '', _PATH)}"
        narrow = width is not None and width < _WIDE
        model_columns = _MODEL_COLUMNS - 1 if narrow else _MODEL_COLUMNS
        parts = [
            _Part(_clock(int(event.began_s + entry.duration_ms / 1000), self._clock_form)),
            _Part(f" {call:<25}" if called else ""),
            _Part(f" {_pad(model if called or not self._requests else model or call, model_columns)}"),
        ]
        if self._responses:
            parts += self._outcome(entry, event.secrets, narrow)
        if self._requests:
            thread = "" if entry.thread is None else sanitize(mask_text(entry.thread, event.secrets), _ID)
            short = _SESSION if width is None else _SHORT_SESSION
            parts += [_Part(_session(session, short), 4), _Part(f" thread {thread}" if thread else "", 5)]
        if self._responses and len(entry.attempts) > 1:
            parts.append(_Part(f" {len(entry.attempts)} attempts", 2))
        if entry.failed or self._arrivals:
            parts.append(_Part(f" (id {entry.id[:_ID]})", 2))
        return _joined(parts, width)

    def _outcome(self, entry: Entry, secrets: tuple[str, ...], narrow: bool) -> Iterator[_Part]:
        """Yield provider, status and duration, then the error where there is one, and what is known of tokens, cost
        and the first token."""
        provider = format_provider(entry)
        provider = "" if provider == UNKNOWN else sanitize(provider, _PROVIDER)
        yield _Part(f" {_pad(provider, _PROVIDER_COLUMNS - 1 if narrow else _PROVIDER_COLUMNS)}", 1)
        yield _Part(f" {format_status(entry):<3}", colour=self._colour(_colour(entry)))
        yield _Part(f" {format_duration(entry.duration_ms):>6}")
        if entry.error is not None:
            message = sanitize(mask_text(format_error(entry.error), secrets), _ERROR)
            yield _Part(f" error {message}", colour=self._colour(_RED), cut=True)
        tokens = format_short_tokens(entry.usage) if narrow else format_tokens(entry.usage)
        if tokens != UNKNOWN:
            yield _Part(f" {tokens}" if narrow else f" tokens {tokens}")
        yield _Part(f" cost {format_cost(entry.cost_usd)}" if entry.cost_usd else "", 3)
        if entry.first_token_ms is not None:
            yield _Part(f" first {format_duration(entry.first_token_ms)}", 6)

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
    if width is not None and sum(_columns(part.text) for part in parts) > width:
        _narrow(parts, width)
    line = "".join(
        f" {part.colour}{part.text[1:]}{_PLAIN}" if part.colour and part.text else part.text for part in parts
    )
    return line.rstrip()


def _narrow(parts: list[_Part], width: int) -> None:
    """Leave out the least important parts, then the space that lines them up, then the provider; cut what still does
    not fit, an error first."""
    least = max(width // 3, _LEAST_CUT)
    room = width - sum(min(_columns(part.text), least) for part in parts if part.cut)
    for step in (_drop, _strip, _drop_all):
        step(parts, room)
    over = sum(_columns(part.text) for part in parts) - width
    for part in sorted(parts, key=lambda part: (not part.cut, -_columns(part.text))):
        if over > 0:
            used = _columns(part.text)
            kept = max(used - over, _LEAST)
            over -= used - kept
            part.text = part.text if used <= kept else _cut(part.text, kept)


def _needed(parts: list[_Part]) -> int:
    return sum(_columns(part.text) for part in parts if not part.cut)


def _drop(parts: list[_Part], room: int, least: int = 2) -> None:
    over = _needed(parts) - room
    for part in sorted(parts, key=lambda part: -part.rank):
        if over > 0 and part.rank >= least:
            over -= _columns(part.text)
            part.text = ""


def _strip(parts: list[_Part], room: int) -> None:
    if _needed(parts) > room:
        for part in parts:
            part.text = part.text.rstrip()


def _drop_all(parts: list[_Part], room: int) -> None:
    _drop(parts, room, least=1)


def _columns(text: str) -> int:
    """Return how many columns of a terminal the text takes."""
    return len(text) if text.isascii() else cell_len(text)


def _pad(text: str, columns: int) -> str:
    return text + " " * (columns - _columns(text))


def _cut(text: str, columns: int) -> str:
    """Return the text in at most so many columns, with an ellipsis."""
    if text.isascii():
        return text[: columns - 3].rstrip() + "..."
    return set_cell_size(text, columns - 3).rstrip() + "..."


@lru_cache(maxsize=16)
def _clock(moment_s: int, form: str) -> str:
    return time.strftime(form, time.localtime(moment_s))


def _masked(texts: tuple[str | None, ...], secrets: tuple[str, ...]) -> tuple[str | None, ...]:
    """Mask secrets in `texts`. Do this before cutting them: half a secret would not be found."""
    together = replace_surrogates("\0".join(text or "" for text in texts))
    if mask_text(together, secrets) is together:
        return texts
    return tuple(None if text is None else mask_text(replace_surrogates(text), secrets) for text in texts)


def _session(session: str | None, limit: int = _SESSION) -> str:
    return "" if session is None else f" session {sanitize(session, limit)}"


def _text(text: str) -> str:
    """Return text of any length on one line."""
    return sanitize(" ".join(text[: _TEXT * 4].split()), _TEXT)


def _colour(entry: Entry) -> str:
    if entry.outcome == "cancelled" or 400 <= (entry.status or 0) < 500:
        return _MAGENTA
    return _RED if entry.failed else _BOLD
