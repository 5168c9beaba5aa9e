"""`trace`: shows the records of the trace middleware. `tail` follows them, `ls` lists them, `show` opens one, `stats`
sums them up, `export` writes them out.

These commands are thin: `records/trace_reader.py` reads records, `rows.py` formats rows, `show.py` one record. Text
from outside is sanitized by `console/formatting.py`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from llmproxy.cli.output import QuietExit, fail, print_line, stdout_console

if TYPE_CHECKING:
    from llmproxy.records.entry import Entry
    from llmproxy.records.filters import EntryFilter
    from llmproxy.records.found_records import FoundEntry, RecordPlace
    from llmproxy.records.record import Record
    from llmproxy.records.trace_reader import TraceReader

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
    str | None, typer.Option("--session", metavar="ID", help="Only this session; how its id begins is enough.")
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

    from llmproxy.cli.trace.tail import TraceTail
    from llmproxy.records.trace_reader import TraceReader

    test = _parse(filters)
    follows = sys.stdout.isatty() if follow is None else follow
    traces = TraceReader(_find(directory, waits=follows))
    test = _within(test, TraceReader(traces.directory), session)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # restores the cursor
    with QuietExit():
        TraceTail(traces, stdout_console(), test, as_json=as_json).run(count, follow=follows)
    _print_faults(traces)
    if not follows and count and not traces.last(1):
        _fail_empty(traces)


@trace_app.command("ls")
def trace_ls(
    directory: Directory = None,
    count: Annotated[int, typer.Option("-n", metavar="N", min=1, help="How many at most.")] = 1000,
    sort: Annotated[Key, typer.Option(help="Sort key.")] = Key.time,
    reverse: Annotated[bool, typer.Option("--reverse", "-r", help="Reverse the order.")] = False,
    session: SessionOption = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Only the last 1h, 30m ...")] = None,
    filters: Filters = None,
    as_json: AsJson = False,
) -> None:
    """List exchanges, the newest last.

    Or the slowest, largest ... with --sort; with --reverse they come first.
    """
    from llmproxy.records.trace_reader import TraceReader

    test = _parse(filters)
    recent = _since(since)
    _disable_gc()
    traces = TraceReader(_find(directory))
    test = _within(test, TraceReader(traces.directory), session)
    if sort is Key.time and not (reverse or filters or session or since):
        entries = [each.entry for each in traces.last(count)]
    else:
        entries = [each.entry for each in traces.entries() if recent(each.entry) and test(each.entry)]
        entries.sort(key=lambda entry: _rank(entry, sort))
        entries = entries[-count:][:: -1 if reverse else 1]
    with QuietExit():
        _list(entries, as_json=as_json)
    _print_faults(traces)
    if not entries:
        _fail_empty(traces)


@trace_app.command("show")
def trace_show(
    identifier: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="Its id, or how it begins; or the file of a record. Default: the newest."),
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
    from llmproxy.cli.trace.show import print_raw, print_record, print_record_json

    if session is not None:
        if directory is not None or raw or curl:
            raise typer.BadParameter("can be combined with a directory and --json only", param_hint="--session")
        _show_session(session, identifier, thread, as_json=as_json)
        return
    if thread is not None:
        raise typer.BadParameter("needs --session", param_hint="--thread")
    if identifier is not None and directory is None and os.path.isdir(identifier):
        identifier, directory = None, identifier
    record, data = _read(identifier, directory)
    with QuietExit():
        if raw:
            print_raw(record)
        elif as_json:
            print_record_json(data)
        elif curl:
            _print_curl(record)
        else:
            print_record(stdout_console(), record, headers=headers)


def _read(identifier: str | None, directory: str | None) -> tuple[Record, bytes]:
    """Return the record with that id, or in that file, else the newest, and its text."""
    from llmproxy.console.formatting import sanitize
    from llmproxy.records.found_records import read_record
    from llmproxy.records.trace_files import RecordLocation
    from llmproxy.records.trace_reader import TraceReader

    if identifier is not None and os.path.isfile(identifier):
        place: RecordPlace = RecordLocation(identifier)
    else:
        traces = TraceReader(_find(directory))
        place = _newest(traces) if identifier is None else _one(traces.find(identifier), identifier, traces)
    try:
        return read_record(place)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        fail(f"cannot read {sanitize(place.path)}: {reason}")


def _show_session(session: str, directory: str | None, thread: str | None, *, as_json: bool) -> None:
    from llmproxy.cli.trace.session import print_record_line, print_session, session_name
    from llmproxy.console.formatting import sanitize
    from llmproxy.records.trace_reader import TraceReader

    _disable_gc()
    traces = TraceReader(_find(directory))
    name = session_name(traces, session)
    matches = sorted(
        (each for each in traces.entries() if each.entry.session == name), key=lambda each: each.entry.started
    )
    if not matches:
        _print_faults(traces)
        if traces.last(1):
            fail(f"no exchange of session {sanitize(session, 100)!r} in {sanitize(traces.directory)}")
        _fail_empty(traces)
    if thread is not None and not any(each.entry.thread == thread for each in matches):
        names = sorted({each.entry.thread for each in matches if each.entry.thread})
        fail(
            f"no thread {sanitize(thread, 100)!r} in that session; its threads: {sanitize(', '.join(names)) or 'none'}"
        )
    if thread is None and all(each.entry.thread for each in matches):
        thread = matches[0].entry.thread  # no record is of the main thread
    with QuietExit():
        if as_json:
            for _, data in traces.records(matches):
                print_record_line(data)
        else:
            selected = [each for each in matches if each.entry.thread == thread]
            others = [each for each in matches if each.entry.thread != thread]
            records, threads = traces.records(selected), traces.records(others)
            print_session(stdout_console(), (each for each, _ in records), (each for each, _ in threads))
    _print_faults(traces)


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

    from llmproxy.cli.trace.totals import render_totals, sum_entries
    from llmproxy.records.trace_reader import TraceReader

    test = _parse(filters)
    traces = TraceReader(_find(directory))
    _disable_gc()
    totals = sum_entries(each.entry for each in traces.entries() if test(each.entry))
    with QuietExit():
        if as_json:
            print(json.dumps(totals, indent=2))
        elif totals["total"]["requests"]:
            out = stdout_console()
            for line in render_totals(totals, out.width):
                print_line(out, line)
    _print_faults(traces)
    if not totals["total"]["requests"]:
        _fail_empty(traces)


@trace_app.command("export")
def trace_export(
    directory: Directory = None,
    form: Annotated[
        ExportFormat, typer.Option("--format", help="One record per line, or one array of all of them.")
    ] = ExportFormat.jsonl,
    session: SessionOption = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Only the last 1h, 30m ...")] = None,
    filters: Filters = None,
) -> None:
    """Print whole records as JSON, oldest first.

    Whatever their format is: for jq, or to keep them.
    """
    from llmproxy.cli.trace.export import print_records
    from llmproxy.records.trace_reader import TraceReader

    test, recent = _parse(filters), _since(since)
    traces = TraceReader(_find(directory))
    test = _within(test, traces, session)
    chosen = (each for each in traces.entries() if recent(each.entry) and test(each.entry))
    with QuietExit():
        count = print_records(traces.texts(chosen), array=form is ExportFormat.json)
    _print_faults(traces)
    if not count:
        _fail_empty(traces)


def _print_curl(record: Record) -> None:
    from llmproxy.cli.trace.curl import IncompleteRecord, curl_command

    try:
        print(curl_command(record))
    except IncompleteRecord as reason:
        fail(str(reason))


def _disable_gc() -> None:
    """Disable garbage collection: among 50,000 live entries it takes a third of the time of reading them."""
    import gc

    gc.disable()


def _parse(filters: Sequence[str] | None) -> EntryFilter:
    from llmproxy.records.filters import parse_filters

    try:
        return parse_filters(filters or ())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--filter") from error


def _within(test: EntryFilter, traces: TraceReader, session: str | None) -> EntryFilter:
    """Return a filter for entries of one session too, which may be named by the beginning of its id."""
    if session is None:
        return test
    from llmproxy.cli.trace.session import session_name
    from llmproxy.records.filters import session_filter

    own = session_filter(session_name(traces, session))
    return lambda entry: own(entry) and test(entry)


def _find(directory: str | None, *, waits: bool = False) -> str:
    from llmproxy.cli.trace.directory import TracesNotFound, find_directory

    try:
        return find_directory(directory, waits=waits)
    except TracesNotFound as reason:
        fail(str(reason))


def _since(text: str | None) -> EntryFilter:
    """Return a filter for exchanges that began within the given duration."""
    import time

    from llmproxy.settings import parse_duration
    from llmproxy.wire.timestamp import format_timestamp

    if text is None:
        return lambda entry: True
    try:
        earliest_s = max(time.time() - parse_duration(text), 0.0)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--since") from error
    earliest = format_timestamp(earliest_s)
    return lambda entry: entry.started >= earliest


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


def _fail_empty(traces: TraceReader) -> NoReturn:
    """Fail, and explain why nothing was printed."""
    from llmproxy.cli.trace.directory import explain_empty

    fail("no exchange matches" if traces.last(1) else explain_empty(traces.directory))


def _newest(traces: TraceReader) -> RecordPlace:
    newest = traces.last(1)
    if not newest:
        _print_faults(traces)
        _fail_empty(traces)
    return newest[0].place


def _one(matches: Sequence[FoundEntry], identifier: str, traces: TraceReader) -> RecordPlace:
    from llmproxy.console.formatting import sanitize

    if not matches:
        _print_faults(traces)
        fail(f"no record {sanitize(identifier, 100)!r} in {sanitize(traces.directory)}")
    if len(matches) > 1:
        names = "\n".join(
            f"  {sanitize(f'{each.entry.id}  {each.entry.started}  {each.entry.model or str()}')}"
            for each in matches[:10]
        )
        more = f"\n  and {len(matches) - 10} more" if len(matches) > 10 else ""
        prefix = sanitize(identifier)
        fail(f"{len(matches)} records begin with {prefix!r}; pass more characters of the id:\n{names}{more}")
    return matches[0].place


def _print_faults(traces: TraceReader) -> None:
    """Print in one line which records could not be read."""
    from llmproxy.console.formatting import sanitize

    faults = traces.faults
    if faults:
        first = sanitize(f"{faults[0].path}: {faults[0].why}")
        counted = "1 record" if len(faults) == 1 else f"{len(faults)} records"
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        print(f"llmproxy: cannot read {counted}: {first}{more}", file=sys.stderr)
    faults.clear()
