from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer

from llmproxy.cli.trace.record_selection import (
    filter_since,
    find_record,
    open_traces,
    print_faults,
    read_filters,
    session_name,
    within_session,
)
from llmproxy.records.filters import EntryFilter
from tests.support.records import write


def selected(directory: Path, test: EntryFilter) -> list[int]:
    entries = [each.entry for each in open_traces(str(directory)).entries()]
    return [int(entry.id[:6], 16) for entry in entries if test(entry)]


def test_records_can_be_limited_to_the_last_hour(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    for number, ago in ((10, timedelta(minutes=50)), (11, timedelta(minutes=70))):
        write(tmp_path, number, started=(now - ago).strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
    assert selected(tmp_path, filter_since("1h")) == [10]
    assert selected(tmp_path, filter_since(None)) == [11, 10]


@pytest.mark.parametrize("since", ["30000d", "36500d"])
def test_what_reaches_further_back_than_all_records_leaves_none_out(tmp_path: Path, since: str) -> None:
    write(tmp_path, 1)
    assert selected(tmp_path, filter_since(since)) == [1]


def test_wrong_arguments_are_refused_by_the_name_of_their_option() -> None:
    with pytest.raises(typer.BadParameter, match="at most 36500d") as age:
        filter_since("99999999999d")
    with pytest.raises(typer.BadParameter, match="colour") as filters:
        read_filters(["colour=red"])
    assert (age.value.param_hint, filters.value.param_hint) == ("--since", "--filter")


def test_a_beginning_of_several_ids_names_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (1, 3):
        write(tmp_path, number)
    assert find_record("000003", str(tmp_path))[0].id == "000003aaaa"
    with pytest.raises(typer.Exit):
        find_record("00", str(tmp_path))
    message = capsys.readouterr().err
    assert "2 records begin with" in message and "000001aaaa" in message and "000003aaaa" in message


def test_a_session_is_found_by_as_much_of_its_name_as_is_unique(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(("s1", "s10", "other, [x]")):
        write(tmp_path, number, session=name)
    traces = open_traces(str(tmp_path))
    assert session_name(traces, "oth") == "other, [x]"
    assert selected(tmp_path, within_session(read_filters(None), traces, "s1")) == [0]
    with pytest.raises(typer.Exit):
        session_name(traces, "s")
    assert (
        capsys.readouterr().err == "llmproxy: 2 sessions begin with 's'; pass more characters of the id:\n  s1\n  s10\n"
    )


def test_a_record_that_cannot_be_read_is_counted_once_when_its_session_is_looked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, 1, session="s1")
    write(tmp_path, 2).write_text('{"version": 7}')
    traces = open_traces(str(tmp_path))
    assert session_name(traces, "s") == "s1"
    assert len(list(traces.entries())) == 1
    print_faults(traces)
    assert "cannot read 1 record:" in capsys.readouterr().err
