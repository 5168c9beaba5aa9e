from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from llmproxy.cli.trace.export import print_records
from tests.support.records import text

RECORDS = [text(number, model="gpt-ä\u202e").encode() for number in range(3)]


@pytest.fixture
def texts() -> Iterator[bytes]:
    return iter(RECORDS)


def test_records_are_lines_with_the_bytes_that_they_have(
    texts: Iterator[bytes], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert print_records(texts, array=False) == 3
    lines = capfdbinary.readouterr().out.split(b"\n")
    assert lines == [*(each[:-1].replace(b"\n", b" ") for each in RECORDS), b""]


def test_records_are_items_of_an_array(texts: Iterator[bytes], capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert print_records(texts, array=True) == 3
    assert json.loads(capfdbinary.readouterr().out) == [json.loads(each) for each in RECORDS]
    assert print_records(iter(()), array=True) == 0
    assert json.loads(capfdbinary.readouterr().out) == []


def test_a_terminal_gets_no_character_that_it_obeys(
    texts: Iterator[bytes], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert print_records(texts, array=False) == 3
    out = capsys.readouterr().out
    assert "\u202e" not in out and json.loads(out.splitlines()[0]) == json.loads(RECORDS[0])
