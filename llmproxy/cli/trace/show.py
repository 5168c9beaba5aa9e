"""`trace show`: prints one record formatted, as it went over the wire, or as JSON. Begin at `print_record`."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec
from rich.console import Console
from rich.text import Text

from llmproxy.cli.output import print_line
from llmproxy.cli.trace.json_output import print_json
from llmproxy.cli.trace.rows import DIM, RED
from llmproxy.console.formatting import (
    UNKNOWN,
    format_cost,
    format_duration,
    format_model,
    format_provider,
    format_status,
    sanitize,
    sanitize_lines,
)
from llmproxy.dialects import catalog
from llmproxy.errors import BrokenStream
from llmproxy.records.record import Chunk, Record
from llmproxy.settings import format_size
from llmproxy.transcripts.transcript import (
    TranscriptPart,
    answer_transcript,
    pretty_json,
    request_bytes,
    request_transcript,
    response_bytes,
)

_BOLD, _ROLE = "bold", "cyan"
# The number of first and last chunks of a stream that are printed.
_CHUNKS = 4


def print_record(console: Console, record: Record) -> None:
    """Print the whole record for a person."""
    for title, lines in (
        ("", _head(record)),
        ("conversation", _conversation(record)),
        ("request headers", _headers(record.request.headers)),
        ("response headers", _headers(record.response.headers)),
        ("timeline", _timeline(record)),
    ):
        rendered = list(lines)
        if rendered and title:
            print_line(console, Text(f"\n{title}", style=_BOLD))
        for line in rendered:
            print_line(console, line)


def _head(record: Record) -> Iterator[Text]:
    query = f"?{record.query}" if record.query else ""
    yield Text(sanitize(f"{record.method} {record.path}{query}"), style=_BOLD)
    usage = record.usage
    counted = {name: value for name, value in msgspec.to_builtins(usage).items() if type(value) is int} if usage else {}
    client = [record.client.name, record.client.address, record.client.agent]
    values: list[tuple[str, str | None]] = [
        ("id", record.id if record.request_id == record.id else f"{record.id} (x-request-id {record.request_id})"),
        ("time", _local(record.started)),
        ("client", ", ".join(each for each in client if each)),
        ("session", record.session),
        ("thread", record.thread),
        ("model", format_model(record)),
        ("instead", None if record.rerouted_from is None else f"of {record.rerouted_from}, whose budget is used up"),
        ("route", record.route),
        ("provider", None if (provider := format_provider(record)) == UNKNOWN else provider),
        ("status", format_status(record)),
        ("finish", record.finish_reason),
        ("tokens", ", ".join(f"{name} {value}" for name, value in counted.items()) or "unknown"),
        ("cost", format_cost(record.cost_usd) if record.cost_usd is not None or record.cost_unknown else None),
        ("took", _took(record)),
        ("dropped", ", ".join(record.dropped) or None),
    ]
    for name, value in values:
        if value is not None:
            yield Text(f"  {name:<9}{sanitize(value)}")
    if record.error is not None:
        yield Text(f"  {'error':<9}{sanitize(f'{record.error.code}: {record.error.message}')}", style=RED)


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


def _conversation(record: Record) -> Iterator[Text]:
    for name, read, body in (
        ("request", request_transcript, request_bytes(record.request)),
        ("answer", answer_transcript, response_bytes(record.response)),
    ):
        parts = read(record)
        yield from render_parts(parts) if parts else render_body_lines(name, body)
    yield from render_truncation(record)


def render_parts(parts: Iterable[TranscriptPart]) -> Iterator[Text]:
    """Yield the lines of a conversation."""
    for role, text in parts:
        yield Text(f"  {sanitize(role)}", style=_ROLE)
        for line in sanitize_lines(text).splitlines() or [""]:
            yield Text(f"    {line}")


def render_body_lines(name: str, body: bytes) -> Iterator[Text]:
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
    yield from render_parts([TranscriptPart(name, text)])


def render_truncation(record: Record) -> Iterator[Text]:
    """Yield a line for each body of which the record has only a part."""
    for name, part in (("request", record.request), ("answer", record.response)):
        if part.truncated:
            yield Text(f"  the trace holds only a part of the {name} of {format_size(part.size)}", style=DIM)


def _headers(headers: dict[str, str | list[str]] | None) -> Iterator[Text]:
    for name, value in (headers or {}).items():
        for each in value if isinstance(value, list) else [value]:
            yield Text(f"  {sanitize(name)}: {sanitize(each)}")


def _timeline(record: Record) -> Iterator[Text]:
    for attempt in record.attempts:
        came = attempt.error or (f"status {attempt.status}" if attempt.status is not None else "no answer")
        took = "" if attempt.ended_ms is None else f" after {format_duration(attempt.ended_ms - attempt.started_ms)}"
        where = attempt.url or "answers by itself"
        text = f"{attempt.provider} {attempt.model or ''} {where}: {came}{took}"
        yield Text(f"  {_at(attempt.started_ms)}  {sanitize(text)}", style=RED if attempt.error else "")
    chunks = record.response.chunks or []
    listed = chunks if len(chunks) <= 2 * _CHUNKS + 1 else [*chunks[:_CHUNKS], None, *chunks[-_CHUNKS:]]
    for chunk in listed:
        if chunk is None:
            yield Text(f"  {'':>9}  ... {len(chunks) - 2 * _CHUNKS} more chunks")
        else:
            yield Text(f"  {_at(chunk.at_ms)}  {sanitize(' '.join(_text(chunk, record.dialect).split()), 100)}")
    yield Text(f"  {_at(record.duration_ms)}  {sanitize(record.outcome)}, {format_size(record.response.size)} sent")


def _at(milliseconds: float) -> str:
    return f"{format_duration(milliseconds):>9}"


def _text(chunk: Chunk, dialect: str | None) -> str:
    """Return what a chunk says; of binary messages their events, where it holds whole ones."""
    if isinstance(chunk.text, str):
        return chunk.text
    known = catalog.by_name(dialect)
    try:
        data = base64.b64decode(chunk.base64 or b"")
        frames = known.framing.splitter().feed(data) if known is not None else []
    except (BrokenStream, ValueError):
        frames = []
    events = [f"{frame.event} {frame.data.decode(errors='replace')}" for frame in frames]
    return "  ".join(events) or f"[base64] {chunk.base64}"


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
