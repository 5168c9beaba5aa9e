"""`trace show --session`: prints the exchanges of a session as one conversation, each with its new parts.

Begin reading at `show_session`.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from rich.console import Console
from rich.text import Text

from llmproxy.cli.output import QuietExit, fail, print_line, stdout_console
from llmproxy.cli.trace.json_output import escape_json
from llmproxy.cli.trace.record_selection import fail_empty, open_traces, print_faults, session_name
from llmproxy.cli.trace.rows import DIM, EntryTable
from llmproxy.cli.trace.show import render_body_lines, render_parts, render_truncation, wrap, wrap_width
from llmproxy.console.formatting import format_cost, format_count, format_input, format_model, sanitize
from llmproxy.metrics.tokens import TokenCounters
from llmproxy.records.found_records import FoundEntry
from llmproxy.records.record import Record
from llmproxy.transcripts.preview import strip_context
from llmproxy.transcripts.transcript import (
    answer_transcript,
    refers_to_stored_state,
    request_bytes,
    request_transcript,
    response_bytes,
)
from llmproxy.transcripts.transcript_diff import SessionTranscript, TranscriptDiff

# The limit for a body that is not a conversation; `trace show ID` shows all of it.
_BODY_LINES = 20
_PROMPT_LENGTH = 80


@dataclass(slots=True, kw_only=True)
class _Thread(TokenCounters):
    """What is shown of a thread beside the main one."""

    first: Record
    requests: int = 0
    failed: int = 0


def show_session(session: str, directory: str | None, thread: str | None, *, as_json: bool) -> None:
    """Print the session with that id, or whose id begins so: its main thread, or the one called `thread`."""
    gc.disable()  # among 50,000 live entries it takes a third of the time of reading them
    traces = open_traces(directory)
    name = session_name(traces, session)
    matches = sorted(
        (each for each in traces.entries() if each.entry.session == name), key=lambda each: each.entry.started
    )
    if not matches:
        print_faults(traces)
        if traces.last(1):
            fail(f"no exchange of session {sanitize(session, 100)!r} in {sanitize(traces.directory)}")
        fail_empty(traces)
    thread = _thread_of(matches, thread)
    with QuietExit():
        if as_json:
            for _, data in traces.records(matches):
                print_record_line(data)
        else:
            selected = [each for each in matches if each.entry.thread == thread]
            others = [each for each in matches if each.entry.thread != thread]
            records, threads = traces.records(selected), traces.records(others)
            print_session(stdout_console(), (each for each, _ in records), (each for each, _ in threads))
    print_faults(traces)


def _thread_of(matches: Sequence[FoundEntry], thread: str | None) -> str | None:
    """Return the thread to show: the one called so, else the main one, else that of the first record."""
    if thread is not None and not any(each.entry.thread == thread for each in matches):
        names = sorted({each.entry.thread for each in matches if each.entry.thread})
        fail(
            f"no thread {sanitize(thread, 100)!r} in that session; its threads: {sanitize(', '.join(names)) or 'none'}"
        )
    if thread is None and all(each.entry.thread for each in matches):
        return matches[0].entry.thread
    return thread


def print_session(console: Console, records: Iterable[Record], threads: Iterable[Record] = ()) -> None:
    """Print all `records`, in order, and a line for each of the `threads` beside them."""
    transcript, width = SessionTranscript(), wrap_width(console)
    rows = EntryTable(console.width, dates=True, growing=True)
    for number, record in enumerate(records):
        moved = rows.grow(record)
        if number:
            print_line(console, Text())
        if moved or not number:
            print_line(console, rows.head())
        line = rows.row(record)
        line.stylize("bold")
        print_line(console, line)
        for each in _exchange(record, transcript, width):
            print_line(console, each)
    for each in _thread_lines(threads):
        for line in wrap(each.plain, 0, width, DIM):
            print_line(console, line)


def _thread_lines(records: Iterable[Record]) -> Iterator[Text]:
    threads: dict[str, _Thread] = {}
    for record in records:
        thread = threads.setdefault(record.thread or "", _Thread(first=record))
        thread.requests += 1
        thread.failed += record.failed
        thread.add_usage(record.usage)
        thread.add_cost(record.cost_usd, unknown=record.cost_unknown)
    if threads:
        yield Text()
    for name, thread in threads.items():
        counted = "1 request" if thread.requests == 1 else f"{thread.requests} requests"
        failed = f", {thread.failed} failed" if thread.failed else ""
        tokens = f"{format_input(thread.input, thread.cache_read)}, {format_count(thread.output)} out"
        used = tokens if thread.cost_usd is None else f"{tokens}, {format_cost(thread.cost_usd)}"
        text = f"thread {name or '(main)'}: {counted}{failed}, {format_model(thread.first)}, {used}"
        prompt = next((part.text for part in reversed(request_transcript(thread.first)) if part.role == "user"), "")
        more = (
            f", asked: {sanitize(' '.join(strip_context(prompt).split()), _PROMPT_LENGTH)}"
            if strip_context(prompt)
            else ""
        )
        yield Text(sanitize(text) + more, style=DIM)


def print_record_line(data: bytes) -> None:
    """Print a record as one line."""
    print(escape_json(data.decode(errors="replace").replace("\n", " ").strip(), sys.stdout.encoding))


def _exchange(record: Record, transcript: SessionTranscript, width: int | None) -> Iterator[Text]:
    request, reply = request_transcript(record), answer_transcript(record)
    if request:
        yield from _diff_lines(transcript.add(request, reply, refers=refers_to_stored_state(record)), width)
    elif not record.request.truncated:
        yield from _abridged("request", request_bytes(record.request), width)
    if reply:
        yield from render_parts(reply, width)
    elif not record.response.truncated:
        yield from _abridged("answer", response_bytes(record.response), width)
    yield from render_truncation(record)
    if record.request.size and record.request.format is None and not record.request.truncated:
        yield Text("  the trace has no bodies; enable them with `include_body: true`", style=DIM)


def _diff_lines(diff: TranscriptDiff, width: int | None) -> Iterator[Text]:
    if diff.dropped:
        parts = "1 part" if diff.dropped == 1 else f"{diff.dropped} parts"
        yield Text(f"  leaves out {parts} of the conversation so far", style=DIM)
    if not diff.new:
        yield Text("  no new messages", style=DIM)
    yield from render_parts(diff.new, width)


def _abridged(name: str, body: bytes, width: int | None) -> Iterator[Text]:
    lines = render_body_lines(name, body, width)
    yield from islice(lines, _BODY_LINES)
    if more := sum(1 for _ in lines):
        yield Text(f"    ... {more} more lines", style=DIM)
