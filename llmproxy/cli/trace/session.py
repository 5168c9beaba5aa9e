"""`trace show --session`: the exchanges of a session as one conversation, each with a line about it and what is new.

Begin reading at `show`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import islice

from rich.console import Console
from rich.text import Text

from llmproxy.cli.output import print_line
from llmproxy.cli.trace.json_output import escape_json
from llmproxy.cli.trace.rows import DIM, EntryTable
from llmproxy.cli.trace.show import render_body_lines, render_parts, render_truncation
from llmproxy.records.record import Record
from llmproxy.transcripts.transcript import (
    answer_transcript,
    refers_to_stored_state,
    request_bytes,
    request_transcript,
    response_bytes,
)
from llmproxy.transcripts.transcript_diff import SessionTranscript, TranscriptDiff

# Of a body that is no conversation so much is shown; `trace show ID` has all of it.
_BODY_LINES = 20


def print_session(console: Console, records: Iterable[Record]) -> None:
    """All of them, in the order given."""
    transcript = SessionTranscript()
    rows = EntryTable(console.width, dates=True)
    for number, record in enumerate(records):
        print_line(console, Text() if number else rows.head())
        line = rows.row(record)
        line.stylize("bold")
        print_line(console, line)
        for each in _exchange(record, transcript):
            print_line(console, each)


def print_record_line(data: bytes) -> None:
    """A record as one line."""
    print(escape_json(data.decode(errors="replace").replace("\n", " ").strip(), sys.stdout.encoding))


def _exchange(record: Record, transcript: SessionTranscript) -> Iterator[Text]:
    said, reply = request_transcript(record), answer_transcript(record)
    if said:
        yield from _diff_lines(transcript.add(said, reply, refers=refers_to_stored_state(record)))
    elif not record.request.truncated:
        yield from _in_short("request", request_bytes(record.request))
    if reply:
        yield from render_parts(reply)
    elif not record.response.truncated:
        yield from _in_short("answer", response_bytes(record.response))
    yield from render_truncation(record)
    if record.request.size and record.request.format is None and not record.request.truncated:
        yield Text("  the trace holds no bodies; `include_body: true` keeps them", style=DIM)


def _diff_lines(diff: TranscriptDiff) -> Iterator[Text]:
    if diff.dropped:
        parts = "1 part" if diff.dropped == 1 else f"{diff.dropped} parts"
        yield Text(f"  without {parts} of what was said before", style=DIM)
    if not diff.new:
        yield Text("  nothing new is asked", style=DIM)
    yield from render_parts(diff.new)


def _in_short(name: str, body: bytes) -> Iterator[Text]:
    lines = render_body_lines(name, body)
    yield from islice(lines, _BODY_LINES)
    if more := sum(1 for _ in lines):
        yield Text(f"    ... {more} more lines", style=DIM)
