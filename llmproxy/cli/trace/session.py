"""`trace show --session`: the exchanges of a session as one conversation, each with a line about it and what is new.

Begin reading at `show`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import islice

from rich.console import Console
from rich.text import Text

from llmproxy.cli.output import put
from llmproxy.cli.trace.json_output import harmless
from llmproxy.cli.trace.rows import DIM, Rows
from llmproxy.cli.trace.show import cut_short, lines_of, lines_of_body
from llmproxy.records.record import Record
from llmproxy.transcripts.transcript import answered, asked, refers, request_bytes, response_bytes
from llmproxy.transcripts.transcript_diff import Heard, News

# Of a body that is no conversation so much is shown; `trace show ID` has all of it.
_BODY_LINES = 20


def show(console: Console, records: Iterable[Record]) -> None:
    """All of them, in the order given."""
    heard = Heard()
    rows = Rows(console.width, dates=True)
    for number, record in enumerate(records):
        put(console, Text() if number else rows.head())
        line = rows.row(record)
        line.stylize("bold")
        put(console, line)
        for each in _exchange(record, heard):
            put(console, each)


def show_json(data: bytes) -> None:
    """A record as one line."""
    print(harmless(data.decode(errors="replace").replace("\n", " ").strip(), sys.stdout.encoding))


def _exchange(record: Record, heard: Heard) -> Iterator[Text]:
    said, reply = asked(record), answered(record)
    if said:
        yield from _news(heard.listen(said, reply, refers=refers(record)))
    elif not record.request.truncated:
        yield from _in_short("request", request_bytes(record.request))
    if reply:
        yield from lines_of(reply)
    elif not record.response.truncated:
        yield from _in_short("answer", response_bytes(record.response))
    yield from cut_short(record)
    if record.request.size and record.request.format is None and not record.request.truncated:
        yield Text("  the trace holds no bodies; `include_body: true` keeps them", style=DIM)


def _news(news: News) -> Iterator[Text]:
    if news.dropped:
        parts = "1 part" if news.dropped == 1 else f"{news.dropped} parts"
        yield Text(f"  without {parts} of what was said before", style=DIM)
    if not news.said:
        yield Text("  nothing new is asked", style=DIM)
    yield from lines_of(news.said)


def _in_short(name: str, body: bytes) -> Iterator[Text]:
    lines = lines_of_body(name, body)
    yield from islice(lines, _BODY_LINES)
    if more := sum(1 for _ in lines):
        yield Text(f"    ... {more} more lines", style=DIM)
