from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmproxy.records.found_records import read_record
from llmproxy.records.trace_files import RecordLocation
from llmproxy.records.trace_reader import TraceReader
from tests.support.records import head, ids, text, write


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (text()[:100], "cut off"),
        (text()[:-30], None),
        ("", "cut off"),
        ("\x00\xff", "cut off"),
        ("[1, 2]", "not JSON"),
        ('{"a": 1}', "not a trace record"),
        (text(version=99), "version 99"),
        (json.dumps(head(duration_ms="long")), "not a trace record"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_what_is_no_record_is_reported_and_passed_over(tmp_path: Path, content: str, why: str | None) -> None:
    write(tmp_path, 5)
    write(tmp_path, 6).write_text(content, encoding="latin-1")
    traces = TraceReader(str(tmp_path))
    found = ids(list(traces.entries()))
    if why is None:  # the head is whole: only who reads all of it can see
        assert found == [5, 0]
    else:
        assert found == [5]
        assert [why in fault.why for fault in traces.faults] == [True], traces.faults


@pytest.mark.parametrize("content", [text()[:-30], text(version=2), "{}"])
def test_reading_what_is_no_record_says_why(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"cut off|newer|not a trace record"):
        read_record(RecordLocation(str(path)))
