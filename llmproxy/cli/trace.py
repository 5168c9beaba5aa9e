"""`trace`: shows what the trace middleware writes. `tail` follows it, `ls` lists, `show` opens one, `stats` sums up.

Thin commands: files are read by `telemetry/tracefiles.py`, rows laid out by `tracerows.py`, one record by
`traceshow.py`. Everything that others wrote goes to the console through `telemetry/showing.py`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from llmproxy.telemetry.entry import Entry
    from llmproxy.telemetry.tracefiles import Found, Place, Traces
    from llmproxy.telemetry.tracefilter import Test

app = typer.Typer(help="Show what the trace middleware writes: tail, ls, show, stats.", no_args_is_help=True)

_OFF = (
    "no traces were found: tracing is off, or writes elsewhere. `llmproxy serve --trace` turns it on (or an entry "
    "`- type: trace` in `middlewares:`); name the directory to look into another one"
)
_PIPE_COLUMNS = 200


class Key(StrEnum):
    """What a list can be sorted by."""

    time = "time"
    duration = "duration"
    first = "first"
    tokens = "tokens"
    status = "status"
    model = "model"
    provider = "provider"


Directory = Annotated[
    str | None, typer.Argument(metavar="[DIR]", help="Where the records are; else where your running server writes.")
]
Filters = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="KEY=VALUE,...",
        help="Only these: model=gpt-*, status=4xx, session=, provider=, slower=2s, faster=, client=, path=, outcome=, "
        "error=, failed=true, stream=true ... May be given again.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, one object a line.")]


@app.command()
def tail(
    directory: Directory = None,
    count: Annotated[int, typer.Option("-n", min=0, help="How many to begin with.")] = 20,
    follow: Annotated[
        bool | None,
        typer.Option("--follow/--no-follow", "-f", help="Go on with what comes; so it is on a terminal."),
    ] = None,
    filters: Filters = None,
    as_json: AsJson = False,
) -> None:
    """Show the last exchanges, and what comes, as it happens."""
    from llmproxy.cli import tracetail
    from llmproxy.telemetry.tracefiles import Traces

    test = _parse(filters)
    follows = sys.stdout.isatty() if follow is None else follow
    traces = Traces(_find(directory, waits=follows))
    with _Ending():
        tracetail.tail(traces, count, test, follow=follows, as_json=as_json)
        _tell_faults(traces)


@app.command()
def ls(
    directory: Directory = None,
    count: Annotated[int, typer.Option("-n", min=1, help="How many at most.")] = 1000,
    sort: Annotated[Key, typer.Option(help="What to sort by.")] = Key.time,
    reverse: Annotated[bool, typer.Option("--reverse", "-r", help="The other way round.")] = False,
    session: Annotated[str | None, typer.Option(metavar="ID", help="Only those of this session.")] = None,
    filters: Filters = None,
    as_json: AsJson = False,
) -> None:
    """List exchanges: the newest, slowest, largest ... last."""
    from llmproxy.telemetry.tracefiles import Traces

    test = _parse([*(filters or ()), *([f"session={session}"] if session else ())])
    traces = Traces(_find(directory))
    with _Ending():
        plain = sort is Key.time and not filters and not session
        found = traces.last(count) if plain else [each for each in traces.entries() if test(each.entry)]
        entries = [each.entry for each in found]
        if sort is not Key.time:
            entries.sort(key=lambda entry: _rank(entry, sort))
        entries = entries[::-1] if reverse else entries
        _list(entries[:count] if reverse else entries[-count:], as_json=as_json)
        _tell_faults(traces)
        if not entries:
            _end("no exchange fits" if found or traces.last(1) else f"there is no record in {traces.directory}")


@app.command()
def show(
    identifier: Annotated[
        str, typer.Argument(metavar="ID", help="The id, as much of it as is unique; or a record's file.")
    ],
    directory: Directory = None,
    raw: Annotated[bool, typer.Option("--raw", help="The bodies as they went over the wire.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The whole record as JSON.")] = False,
    curl: Annotated[
        bool, typer.Option("--curl", help="A command that repeats the request, without the secret.")
    ] = False,
) -> None:
    """Show one exchange: the conversation, headers, attempts and timing."""
    from llmproxy.cli import traceshow
    from llmproxy.telemetry.tracefiles import Place, Traces, read_record

    if os.path.isfile(identifier):
        place = Place(identifier)
    else:
        traces = Traces(_find(directory))
        place = _one(traces.find(identifier), identifier, traces)
    try:
        record, data = read_record(place)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        _end(f"{place.path} cannot be read: {reason}")
    with _Ending():
        if raw:
            traceshow.show_raw(record)
        elif as_json:
            traceshow.show_json(data)
        elif curl:
            print(traceshow.curl(record))
        else:
            traceshow.show(_console(), record)


@app.command()
def stats(
    directory: Directory = None,
    filters: Filters = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Sum up: requests, tokens and latencies by provider and model, from the files alone."""
    import json

    from llmproxy.cli.tracesums import sums, table
    from llmproxy.telemetry.tracefiles import Traces

    test = _parse(filters)
    traces = Traces(_find(directory))
    with _Ending():
        found = sums(each.entry for each in traces.entries() if test(each.entry))
        if as_json:
            print(json.dumps(found, indent=2))
        elif found["total"]["requests"]:
            _console().print(table(found))
        _tell_faults(traces)
        if not found["total"]["requests"]:
            _end("no exchange fits" if traces.last(1) else f"there is no record in {traces.directory}")


class _Ending:
    """Around what writes to a console: Ctrl-C and a reader that left are ends like others."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: object) -> bool:
        if isinstance(fault, KeyboardInterrupt):
            return True
        if isinstance(fault, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is left to say it to
            return True
        return False


def _parse(filters: Sequence[str] | None) -> Test:
    from llmproxy.telemetry.tracefilter import parse

    try:
        return parse(filters or ())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--filter") from error


def _find(directory: str | None, *, waits: bool = False) -> str:
    """The directory that was named, or the one that the user's server, configuration or custom says."""
    if directory is not None:
        if not os.path.isdir(directory) and not waits:
            _end(f"there is no directory {directory!r}; `llmproxy serve --trace {directory}` would write there")
        return directory
    for each in _candidates():
        if os.path.isdir(each) or waits:
            return each
    _end(_OFF)


def _candidates() -> Iterable[str]:
    from llmproxy.telemetry.servers import running

    servers = [server for server in running() if server.traces]
    if len({each for server in servers for each in server.traces}) > 1:
        print(f"several directories are written to; this is {servers[0].traces[0]}", file=sys.stderr)
    for server in servers:
        yield from server.traces
    yield from _configured()
    if os.path.isdir("traces"):
        yield os.path.abspath("traces")


def _configured() -> Iterable[str]:
    """Where the configuration of this directory has traces written."""
    from llmproxy.config.load import load

    config = load(no_env=True).config
    for entry in config.middlewares if config else ():
        if entry.type == "trace":
            yield os.path.abspath(os.path.expanduser(str(entry.config.model_dump()["directory"])))


def _rank(entry: Entry, key: Key) -> tuple[bool, float | str]:
    """What to sort by; what is not known comes first."""
    usage = entry.usage
    values: dict[Key, Callable[[], float | str | None]] = {
        Key.time: lambda: entry.started,
        Key.duration: lambda: entry.duration_ms,
        Key.first: lambda: entry.first_token_ms,
        Key.tokens: lambda: (usage.input or 0) + (usage.output or 0) if usage else None,
        Key.status: lambda: entry.status,
        Key.model: lambda: entry.model,
        Key.provider: lambda: entry.provider,
    }
    value = values[key]()
    text = key in (Key.model, Key.provider, Key.time)
    return value is not None, (value if value is not None else "" if text else 0)


def _list(entries: Sequence[Entry], *, as_json: bool) -> None:
    import msgspec

    from llmproxy.cli.tracerows import Rows

    if as_json:
        for entry in entries:
            sys.stdout.write(msgspec.json.encode(entry).decode() + "\n")
        return
    console = _console()
    rows = Rows(console.width, dates=True)
    if entries:
        console.print(rows.head())
    for entry in entries:
        console.print(rows.row(entry))


def _one(found: Sequence[Found], identifier: str, traces: Traces) -> Place:
    from llmproxy.telemetry.showing import safe

    if not found:
        _tell_faults(traces)
        _end(f"there is no record {safe(identifier, 100)!r} in {traces.directory}")
    if len(found) > 1:
        names = "\n".join(
            f"  {each.entry.id}  {each.entry.started}  {safe(each.entry.model or '')}" for each in found[:10]
        )
        more = f"\n  and {len(found) - 10} more" if len(found) > 10 else ""
        _end(f"{len(found)} records begin with {identifier!r}; say more of the id:\n{names}{more}")
    return found[0].place


def _tell_faults(traces: Traces) -> None:
    """In one line, what could not be read."""
    faults = traces.faults
    if faults:
        first = f"{faults[0].path}: {faults[0].why}"
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        print(f"llmproxy: {len(faults)} could not be read: {first}{more}", file=sys.stderr)
    faults.clear()


def _console() -> Console:
    from rich.console import Console

    wide = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(highlight=False, markup=False, soft_wrap=True, width=_PIPE_COLUMNS if wide else None)


def _end(reason: str) -> NoReturn:
    print(f"llmproxy: {reason}", file=sys.stderr)
    raise typer.Exit(1)
