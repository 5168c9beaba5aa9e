"""Finds the records that a command of `trace` is about: by directory, filters, session, age, or the id of one.

A wrong argument, or nothing found, ends the command with a message. Begin reading at `open_traces`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

import typer

from llmproxy.cli.output import fail
from llmproxy.cli.trace.directory import TracesNotFound, explain_empty, find_directory
from llmproxy.console.formatting import sanitize
from llmproxy.records.filters import EntryFilter, parse_filters, session_filter
from llmproxy.records.found_records import FoundEntry, RecordPlace, read_record
from llmproxy.records.record import Record
from llmproxy.records.trace_files import RecordLocation
from llmproxy.records.trace_reader import TraceReader
from llmproxy.settings import parse_duration
from llmproxy.system_errors import explain_fault
from llmproxy.wire.timestamp import format_timestamp


def open_traces(directory: str | None, *, waits: bool = False) -> TraceReader:
    """Return a reader of the records in `directory`, or in that of a running server. With `waits` it need not exist
    yet."""
    try:
        return TraceReader(find_directory(directory, waits=waits))
    except TracesNotFound as reason:
        fail(str(reason))


def read_filters(filters: Sequence[str] | None) -> EntryFilter:
    """Return the filter that `--filter` asks for."""
    try:
        return parse_filters(filters or ())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--filter") from error


def filter_since(text: str | None) -> EntryFilter:
    """Return a filter for exchanges that began within the given duration."""
    if text is None:
        return lambda entry: True
    try:
        earliest_s = max(time.time() - parse_duration(text), 0.0)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--since") from error
    earliest = format_timestamp(earliest_s)
    return lambda entry: entry.started >= earliest


def within_session(test: EntryFilter, traces: TraceReader, session: str | None) -> EntryFilter:
    """Return a filter for entries of one session too, which may be named by the beginning of its id."""
    if session is None:
        return test
    own = session_filter(session_name(traces, session))
    return lambda entry: own(entry) and test(entry)


def session_name(traces: TraceReader, text: str) -> str:
    """Return the id that the user means: `text` itself, or the only one that begins so. End the command when several
    do."""
    entries = TraceReader(traces.directory).entries()  # its faults are those that `traces` will find
    names = {each.entry.session or "" for each in entries if (each.entry.session or "").startswith(text)}
    if text in names or not names:
        return text
    if len(names) > 1:
        listed = "\n".join(f"  {sanitize(name)}" for name in sorted(names)[:10]) + (
            "\n  ..." if len(names) > 10 else ""
        )
        fail(f"{len(names)} sessions begin with {sanitize(text)!r}; pass more characters of the id:\n{listed}")
    return names.pop()


def find_record(identifier: str | None, directory: str | None) -> tuple[Record, bytes]:
    """Return the record with that id, or in that file, else the newest, and its text."""
    if identifier is not None and os.path.isfile(identifier):
        place: RecordPlace = RecordLocation(identifier)
    else:
        traces = open_traces(directory)
        place = _newest(traces) if identifier is None else _one(traces.find(identifier), identifier, traces)
    try:
        return read_record(place)
    except (OSError, ValueError) as error:
        fail(f"cannot read {sanitize(place.path)}: {explain_fault(error)}")


def _newest(traces: TraceReader) -> RecordPlace:
    newest = traces.last(1)
    if not newest:
        print_faults(traces)
        fail_empty(traces)
    return newest[0].place


def _one(matches: Sequence[FoundEntry], identifier: str, traces: TraceReader) -> RecordPlace:
    if not matches:
        print_faults(traces)
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


def fail_empty(traces: TraceReader) -> NoReturn:
    """Fail, and explain why nothing was printed."""
    fail("no exchange matches" if traces.last(1) else explain_empty(traces.directory))


def print_faults(traces: TraceReader) -> None:
    """Print in one line which records could not be read."""
    faults = traces.faults
    if faults:
        first = sanitize(f"{faults[0].path}: {faults[0].why}")
        counted = "1 record" if len(faults) == 1 else f"{len(faults)} records"
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        print(f"llmproxy: cannot read {counted}: {first}{more}", file=sys.stderr)
    faults.clear()
