"""`trace show`: prints one record formatted, as it went over the wire, or as JSON. Begin at `print_record`."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from llmproxy.cli.output import print_line
from llmproxy.cli.trace.json_output import print_json
from llmproxy.cli.trace.rows import DIM, RED
from llmproxy.cli.trace.timeline import stream_moments
from llmproxy.console.formatting import (
    UNKNOWN,
    format_cost,
    format_duration,
    format_error,
    format_model,
    format_provider,
    format_status,
    format_usage,
    sanitize,
    sanitize_lines,
)
from llmproxy.records.record import Record
from llmproxy.settings import format_size
from llmproxy.transcripts.transcript import (
    TranscriptPart,
    answer_transcript,
    pretty_json,
    request_bytes,
    request_transcript,
    response_bytes,
)

_BOLD, _ROLE = "bold", "magenta"
_LEAST_TEXT = 20
_LONGEST = 200
_TIME_WIDTH = 13  # of the times in front of a timeline
_WHOLE = ("start", "tokens", "finish", "error")  # moments that are never cut


def print_record(console: Console, record: Record, *, headers: bool = False) -> None:
    """Print the record for a person: its head, the conversation, the timeline; with `headers` those of both sides."""
    width = wrap_width(console)
    listed = (("request headers", record.request.headers), ("response headers", record.response.headers))
    for title, lines in (
        ("", _head(record, width)),
        ("conversation", _conversation(record, width)),
        *((title, _headers(each, width)) for title, each in listed if headers),
        ("timeline", _timeline(record, width)),
    ):
        rendered = list(lines)
        if rendered and title:
            print_line(console, Text(f"\n{title}", style=_BOLD))
        for line in rendered:
            print_line(console, line)


def wrap_width(console: Console) -> int | None:
    """Return the width at which text is wrapped; None in a pipe, where lines stay whole."""
    return console.width if console.is_terminal or "COLUMNS" in os.environ else None


def wrap(text: str, indent: int, width: int | None, style: str = "") -> Iterator[Text]:
    """Yield a line of text as lines of at most `width` columns: wrapped between words, each with the same indent. The
    first `indent` characters of `text` are the indent, or stand in it."""
    room = None if width is None else max(width - indent, _LEAST_TEXT)
    if room is None or cell_len(text) <= indent + room:
        yield Text(text, style=style)
        return
    first, rest = text[:indent], text[indent:]
    inner = len(rest) - len(rest.lstrip(" "))  # such as that of JSON
    inner = inner if inner < room // 2 else 0
    console = Console(file=io.StringIO(), width=room)
    for number, line in enumerate(Text(rest[inner:]).wrap(console, room - inner)):
        yield Text((first if number == 0 else " " * indent) + " " * inner + line.plain.rstrip(), style=style)


def _head(record: Record, width: int | None) -> Iterator[Text]:
    query = f"?{record.query}" if record.query else ""
    yield Text(sanitize(f"{record.method} {record.path}{query}"), style=_BOLD)
    if record.error is not None:
        yield from wrap(f"  {'error':<9}{sanitize(format_error(record.error))}", 11, width, RED)
    client = [record.client.name, record.client.address, record.client.agent]
    values: list[tuple[str, str | None]] = [
        ("id", record.id if record.request_id == record.id else f"{record.id} (x-request-id {record.request_id})"),
        ("time", _local(record.started)),
        ("client", ", ".join(each for each in client if each)),
        ("session", record.session),
        ("thread", record.thread),
        ("model", _known(format_model(record))),
        ("instead", None if record.rerouted_from is None else f"of {record.rerouted_from}, whose budget is used up"),
        ("route", record.route if record.route != record.model else None),
        ("provider", _known(format_provider(record))),
        ("status", _known(format_status(record))),
        ("finish", record.finish_reason),
        ("tokens", format_usage(record.usage) or ("unknown" if record.attempts and not record.failed else None)),
        ("cost", _cost(record)),
        ("took", _took(record)),
        ("frames", _frames(record)),
        ("dropped", ", ".join(record.dropped) or None),
    ]
    for name, value in values:
        if value:
            yield from wrap(f"  {name:<9}{sanitize(value)}", 11, width)


def _known(text: str) -> str | None:
    return None if text == UNKNOWN else text


def _cost(record: Record) -> str | None:
    return "unknown" if record.cost_unknown and not record.failed else _known(format_cost(record.cost_usd))


def _frames(record: Record) -> str | None:
    """Describe what went over a WebSocket."""
    socket = record.websocket
    if socket is None:
        return None
    code = "" if socket.close_code is None else f" with {socket.close_code}"
    ended = f"; closed by the {socket.closed_by}{code}" if socket.closed_by else ""
    return f"{socket.client_frames} from the client, {socket.provider_frames} from the provider{ended}"


def _local(started: str) -> str:
    try:
        return datetime.fromisoformat(started).astimezone().strftime("%Y-%m-%d %H:%M:%S.%f %z")
    except ValueError:
        return started


def _took(record: Record) -> str:
    parts = [format_duration(record.duration_ms)]
    if record.first_byte_ms is not None:
        parts.append(f"first byte {format_duration(record.first_byte_ms)}")
    if record.first_token_ms is not None:
        parts.append(f"first token {format_duration(record.first_token_ms)}")
    return ", ".join(parts)


def _conversation(record: Record, width: int | None) -> Iterator[Text]:
    for name, read, body in (
        ("request", request_transcript, request_bytes(record.request)),
        ("answer", answer_transcript, response_bytes(record.response)),
    ):
        parts = read(record)
        yield from render_parts(parts, width) if parts else render_body_lines(name, body, width)
    yield from render_truncation(record)


def render_parts(parts: Iterable[TranscriptPart], width: int | None) -> Iterator[Text]:
    """Yield the lines of a conversation, wrapped at `width`."""
    for role, text in parts:
        yield Text(f"  {sanitize(role)}", style=_ROLE)
        for line in sanitize_lines(text).splitlines() or [""]:
            yield from wrap(f"    {line}", 4, width)


def render_body_lines(name: str, body: bytes, width: int | None) -> Iterator[Text]:
    """Yield the lines of a body that is not a conversation: indented JSON, or text."""
    if not body:
        return
    try:
        text = pretty_json(json.loads(body))
    except (ValueError, RecursionError):
        try:
            text = body.decode()
        except UnicodeDecodeError:
            text = f"[{format_size(len(body))} of binary data]"
    yield from render_parts([TranscriptPart(name, text)], width)


def render_truncation(record: Record) -> Iterator[Text]:
    """Yield a line for each body of which the record has only a part."""
    for name, part in (("request", record.request), ("answer", record.response)):
        if part.truncated:
            yield Text(f"  the trace has only a part of the {name} of {format_size(part.size)}", style=DIM)


def _headers(headers: dict[str, str | list[str]] | None, width: int | None) -> Iterator[Text]:
    for name, value in (headers or {}).items():
        for each in value if isinstance(value, list) else [value]:
            yield from wrap(f"  {sanitize(name)}: {sanitize(each)}", 4, width)


def _timeline(record: Record, width: int | None) -> Iterator[Text]:
    for attempt in record.attempts:
        came = attempt.error or (f"status {attempt.status}" if attempt.status is not None else "no answer")
        took = "" if attempt.ended_ms is None else f" after {format_duration(attempt.ended_ms - attempt.started_ms)}"
        where = attempt.url or "answers by itself"
        text = f"{attempt.provider} {attempt.model or ''} {where}: {came}{took}"
        line = f"  {_at(attempt.started_ms)}  {sanitize(text)}"
        yield from wrap(line, _TIME_WIDTH, width, RED if attempt.error else "")
    for moment in stream_moments(record):
        line = f"  {_at(moment.at_ms)}  {sanitize(moment.describe(), _LONGEST)}"
        if moment.kind in _WHOLE:
            yield from wrap(line, _TIME_WIDTH, width)
            continue
        row = Text(line)
        row.truncate(width or _LONGEST, overflow="ellipsis")
        yield row
    yield Text(f"  {_at(record.duration_ms)}  {sanitize(record.outcome)}, {format_size(record.response.size)} sent")


def _at(milliseconds: float) -> str:
    return f"{format_duration(milliseconds):>9}"


def print_raw(record: Record) -> None:
    """Print request and answer: byte for byte, or on a terminal without control characters."""
    terminal = sys.stdout.isatty()
    for body in (request_bytes(record.request), response_bytes(record.response)):
        if not body:
            continue
        whole = body if body.endswith(b"\n") else body + b"\n"
        if terminal:
            sys.stdout.write(sanitize_lines(whole.decode(errors="replace")))
        else:
            sys.stdout.buffer.write(whole)
    sys.stdout.flush()


def print_record_json(data: bytes) -> None:
    """Print the whole record as indented JSON."""
    print_json(json.loads(data))
