"""`trace`: shows the records of the trace middleware. `tail` follows them, `ls` lists them, `show` opens one, `stats`
sums them up, `export` writes them out.

These commands are thin: `record_selection.py` finds the records, `rows.py` formats rows, `show.py` one record,
`session.py` a session. Text from outside is sanitized by `console/formatting.py`.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from llmproxy.cli.output import QuietExit, fail, print_line, stdout_console

if TYPE_CHECKING:
    from llmproxy.records.entry import Entry
    from llmproxy.records.record import Record

trace_app = typer.Typer(help="Show recorded exchanges.", no_args_is_help=True)


class Key(StrEnum):
    """Keys to sort a list by."""

    time = "time"
    duration = "duration"
    first = "first"
    tokens = "tokens"
    cost = "cost"
    status = "status"
    model = "model"
    provider = "provider"


class ExportFormat(StrEnum):
    """Forms of exported records."""

    jsonl = "jsonl"
    json = "json"


Directory = Annotated[
    str | None, typer.Argument(metavar="DIR", help="The directory of records; default: that of your running server.")
]
Filters = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="KEY=VALUE",
        help="Filter: model=gpt-*, status=4xx, session=, thread=, provider=, slower=2s, faster=, client=, path=, "
        "outcome=, error=, failed=true, stream=true ... Repeatable.",
    ),
]
SessionOption = Annotated[
    str | None, typer.Option("--session", metavar="ID", help="Only this session; the beginning of its id is enough.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object per line.")]


@trace_app.command("tail")
def trace_tail(
    directory: Directory = None,
    count: Annotated[int, typer.Option("-n", metavar="N", min=0, help="How many to start with.")] = 20,
    follow: Annotated[
        bool | None,
        typer.Option(
            "--follow/--no-follow", "-f", help="Follow new exchanges; the default on a terminal, not in a pipe."
        ),
    ] = None,
    session: SessionOption = None,
    filters: Filters = None,
    as_json: AsJson = False,
) -> None:
    """Show the last exchanges, and new ones as they end."""
    import signal

    from llmproxy.cli.trace.record_selection import fail_empty, open_traces, print_faults, read_filters, within_session
    from llmproxy.cli.trace.tail import TraceTail

    test = read_filters(filters)
    follows = sys.stdout.isatty() if follow is None else follow
    traces = open_traces(directory, waits=follows)
    test = within_session(test, traces, session)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # restores the cursor
    with QuietExit():
        TraceTail(traces, stdout_console(), test, as_json=as_json).run(count, follow=follows)
    print_faults(traces)
    if not follows and count and not traces.last(1):
        fail_empty(traces)


@trace_app.command("ls")
def trace_ls(
    directory: Directory = None,
    count: Annotated[int, typer.Option("-n", metavar="N", min=1, help="The most to list.")] = 1000,
    sort: Annotated[Key, typer.Option(help="Sort key.")] = Key.time,
    reverse: Annotated[bool, typer.Option("--reverse", "-r", help="Reverse the order.")] = False,
    session: SessionOption = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Only exchanges of the last 1h, 30m ...")] = None,
    filters: Filters = None,
    as_json: AsJson = False,
) -> None:
    """List exchanges, the newest last.

    Or the slowest, largest ... with --sort; with --reverse they come first.
    """
    from llmproxy.cli.trace.record_selection import (
        fail_empty,
        filter_since,
        open_traces,
        print_faults,
        read_filters,
        within_session,
    )

    test = read_filters(filters)
    recent = filter_since(since)
    gc.disable()  # among 50,000 live entries it takes a third of the time of reading them
    traces = open_traces(directory)
    test = within_session(test, traces, session)
    if sort is Key.time and not (reverse or filters or session or since):
        entries = [each.entry for each in traces.last(count)]
    else:
        entries = [each.entry for each in traces.entries() if recent(each.entry) and test(each.entry)]
        entries.sort(key=lambda entry: _rank(entry, sort))
        entries = entries[-count:][:: -1 if reverse else 1]
    with QuietExit():
        _list(entries, as_json=as_json)
    print_faults(traces)
    if not entries:
        fail_empty(traces)


@trace_app.command("show")
def trace_show(
    identifier: Annotated[
        str | None,
        typer.Argument(
            metavar="ID", help="Its id, or the beginning of it, or the file of a record; default: the newest."
        ),
    ] = None,
    directory: Directory = None,
    session: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Show a whole session as one conversation: --session ID DIR."),
    ] = None,
    thread: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="With --session: show this thread, such as that of a subagent."),
    ] = None,
    headers: Annotated[bool, typer.Option("--headers", help="Show the headers of request and answer too.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Print the bodies as they went over the wire.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the whole record as JSON; for a session one per line.")
    ] = False,
    curl: Annotated[
        bool, typer.Option("--curl", help="Print a command that repeats the request, without its secrets.")
    ] = False,
) -> None:
    """Show one exchange, or a session as one conversation.

    The conversation, the attempts, and what came when.
    """
    from llmproxy.cli.trace.record_selection import find_record
    from llmproxy.cli.trace.show import print_raw, print_record, print_record_json

    if session is not None:
        from llmproxy.cli.trace.session import show_session

        if directory is not None or raw or curl:
            raise typer.BadParameter("can be combined with a directory and --json only", param_hint="--session")
        show_session(session, identifier, thread, as_json=as_json)
        return
    if thread is not None:
        raise typer.BadParameter("needs --session", param_hint="--thread")
    if identifier is not None and directory is None and os.path.isdir(identifier):
        identifier, directory = None, identifier
    record, data = find_record(identifier, directory)
    with QuietExit():
        if raw:
            print_raw(record)
        elif as_json:
            print_record_json(data)
        elif curl:
            _print_curl(record)
        else:
            print_record(stdout_console(), record, headers=headers)


@trace_app.command("stats")
def trace_stats(
    directory: Directory = None,
    filters: Filters = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show totals by provider and model.

    Requests, tokens, costs and latencies, computed from the files.
    """
    import json

    from llmproxy.cli.trace.record_selection import fail_empty, open_traces, print_faults, read_filters
    from llmproxy.cli.trace.totals import render_totals, sum_entries

    test = read_filters(filters)
    traces = open_traces(directory)
    gc.disable()  # as for `ls`
    totals = sum_entries(each.entry for each in traces.entries() if test(each.entry))
    with QuietExit():
        if as_json:
            print(json.dumps(totals, indent=2))
        elif totals["total"]["requests"]:
            out = stdout_console()
            for line in render_totals(totals, out.width):
                print_line(out, line)
    print_faults(traces)
    if not totals["total"]["requests"]:
        fail_empty(traces)


@trace_app.command("export")
def trace_export(
    directory: Directory = None,
    form: Annotated[
        ExportFormat, typer.Option("--format", help="One record per line, or one array of all of them.")
    ] = ExportFormat.jsonl,
    session: SessionOption = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Only exchanges of the last 1h, 30m ...")] = None,
    filters: Filters = None,
) -> None:
    """Print whole records as JSON, oldest first.

    Whatever their format is: for jq, or to keep them.
    """
    from llmproxy.cli.trace.export import print_records
    from llmproxy.cli.trace.record_selection import (
        fail_empty,
        filter_since,
        open_traces,
        print_faults,
        read_filters,
        within_session,
    )

    test, recent = read_filters(filters), filter_since(since)
    traces = open_traces(directory)
    test = within_session(test, traces, session)
    chosen = (each for each in traces.entries() if recent(each.entry) and test(each.entry))
    with QuietExit():
        count = print_records(traces.texts(chosen), array=form is ExportFormat.json)
    print_faults(traces)
    if not count:
        fail_empty(traces)


def _print_curl(record: Record) -> None:
    from llmproxy.cli.trace.curl import IncompleteRecord, curl_command

    try:
        print(curl_command(record))
    except IncompleteRecord as reason:
        fail(str(reason))


def _rank(entry: Entry, key: Key) -> tuple[bool, float | str]:
    """Return the sort key; unknown values come first."""
    usage = entry.usage
    values: dict[Key, Callable[[], float | str | None]] = {
        Key.time: lambda: entry.started,
        Key.duration: lambda: entry.duration_ms,
        Key.first: lambda: entry.first_token_ms,
        Key.tokens: lambda: (usage.input or 0) + (usage.output or 0) if usage else None,
        Key.cost: lambda: entry.cost_usd,
        Key.status: lambda: entry.status,
        Key.model: lambda: entry.model,
        Key.provider: lambda: entry.provider,
    }
    value = values[key]()
    text = key in (Key.model, Key.provider, Key.time)
    return value is not None, (value if value is not None else "" if text else 0)


def _list(entries: Sequence[Entry], *, as_json: bool) -> None:
    import msgspec

    from llmproxy.cli.trace.json_output import escape_json
    from llmproxy.cli.trace.rows import EntryTable, of_other_days

    if as_json:
        for entry in entries:
            print(escape_json(msgspec.json.encode(entry).decode(), sys.stdout.encoding))
        return
    if not entries:
        return
    out = stdout_console()
    rows = EntryTable(out.width, entries, dates=of_other_days(entries))
    print_line(out, rows.head())
    for entry in entries:
        print_line(out, rows.row(entry))
