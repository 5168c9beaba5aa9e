from __future__ import annotations

from pathlib import Path
from typing import Any

from llmproxy.cli.trace.timeline import stream_moments
from tests.support.records import record, response
from tests.support.traffic import agent_turn


def moments(directory: Path, **changes: Any) -> list[str]:
    return [f"{each.at_ms:g} {each.describe()}" for each in stream_moments(record(directory, **changes))]


def test_a_stream_is_told_by_its_texts_and_tool_calls_with_the_time_of_their_first_piece(tmp_path: Path) -> None:
    assert moments(tmp_path, **agent_turn()) == [
        "900 start claude-opus-4-5-20251101",
        "1010 text (4 pieces until 1.18s) I will run the tests of the parser first.",
        '1285 tool call (3 pieces until 1.45s) bash {"command": "pytest -q tests/test_parser.py"}',
        "1560 tokens 48.2k in (47.0k cached), 1.2k out",
        "1615 finish tool_use",
    ]


def test_a_block_of_which_nothing_comes_is_not_shown(tmp_path: Path) -> None:
    turn = agent_turn()
    turn["response"]["chunks"] = [each for each in turn["response"]["chunks"] if "text_delta" not in each["text"]]
    assert not any(" text" in each for each in moments(tmp_path, **turn))


def test_chunks_of_an_unknown_form_are_shown_as_they_came_the_first_and_last_of_them(tmp_path: Path) -> None:
    chunks = [{"at_ms": float(number), "text": f"data:  {number}\n\n"} for number in range(20)]
    shown = moments(tmp_path, dialect=None, response=response(None, format=None, chunks=chunks))
    assert shown[:2] == ["0 data: 0", "1 data: 1"] and shown[4] == "4 ... 12 more chunks" and len(shown) == 9


def test_other_answers_have_no_moments(tmp_path: Path) -> None:
    assert moments(tmp_path) == []
