"""Pieces of tool calls, as services number and name them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from llmproxy.dialects.chat.stream_tool_calls import Calls, ToolCallPiece


def piece(
    index: Any = None, call_id: Any = None, name: Any = None, arguments: Any = None, *, custom: bool = False
) -> dict[str, Any]:
    inner = {"name": name, "input" if custom else "arguments": arguments}
    return {"index": index, "id": call_id, "custom" if custom else "function": inner}


def gathered(*pieces: dict[str, Any]) -> list[tuple[str | None, str]]:
    calls = Calls()
    for each in pieces:
        calls.find(msgspec.convert(each, ToolCallPiece))
    return [(call.name, "".join(call.pieces)) for call in calls.all]


TWO = [("f", '{"a":1}'), ("g", '{"b":2}')]
SAME = [("f", '{"a":1}'), ("f", '{"b":2}')]


@pytest.mark.parametrize(
    ("pieces", "calls"),
    [
        pytest.param(
            [
                piece(0, "c1", "f", ""),
                piece(0, None, None, '{"a":'),
                piece(1, "c2", "g", ""),
                piece(1, None, None, '{"b":'),
                piece(0, None, None, "1}"),
                piece(1, None, None, "2}"),
            ],
            TWO,
            id="index, interleaved",
        ),
        pytest.param([piece(0, "c1", "f", '{"a":1}'), piece(1, "c2", "g", '{"b":2}')], TWO, id="whole, numbered"),
        pytest.param([piece(0, "c1", "f", '{"a":1}'), piece(0, "c2", "g", '{"b":2}')], TWO, id="whole, all 0"),
        pytest.param([piece(0, "c1", "f", '{"a":1}'), piece(0, "c2", "f", '{"b":2}')], SAME, id="same name, all 0"),
        pytest.param([piece(0, "", "f", '{"a":1}'), piece(0, "", "f", '{"b":2}')], SAME, id="no ids, all 0"),
        pytest.param([piece(None, "", "f", '{"a":1}'), piece(None, "", "g", '{"b":2}')], TWO, id="neither"),
        pytest.param(
            [piece(None, None, "f", '{"a":1}'), piece(None, None, "f", '{"b":2}')], SAME, id="neither, same name"
        ),
        pytest.param(
            [
                piece(None, "c1", "f", '{"a":'),
                piece(None, "c2", "g", '{"b":'),
                piece(None, "c1", None, "1}"),
                piece(None, "c2", None, "2}"),
            ],
            TWO,
            id="ids alone, interleaved",
        ),
        pytest.param(
            [
                piece(None, "c1", "f", '{"a":'),
                piece(None, None, None, "1}"),
                piece(None, "c2", "g", '{"b":'),
                piece(None, None, None, "2}"),
            ],
            TWO,
            id="ids once, no index",
        ),
        pytest.param(
            [piece(0, "c1", "f", '{"a":'), piece(0, "c1", "f", "1}"), piece(1, "c2", "g", '{"b":2}')],
            TWO,
            id="id and name repeated",
        ),
        pytest.param(
            [piece(0, None, "f", '{"a":'), piece(0, None, "f", "1}"), piece(1, None, "g", '{"b":2}')],
            TWO,
            id="name repeated, no ids",
        ),
        pytest.param(
            [piece(0, "c1", "f", '{"a":'), piece(0, "c2", None, "1}"), piece(1, "c3", "g", '{"b":2}')],
            TWO,
            id="a new id in each piece",
        ),
        pytest.param(
            [
                piece(0, "c1", "f", '{"a":'),
                piece(0, "c2", "g", '{"b":'),
                piece(0, "c1", None, "1}"),
                piece(0, "c2", None, "2}"),
            ],
            TWO,
            id="all 0, ids interleaved",
        ),
        pytest.param([piece(0, "c1", "f", '{"a":1}'), piece(1, "c1", "g", '{"b":2}')], TWO, id="one id for all"),
        pytest.param([piece(0, "c1"), piece(0, None, "f", '{"a":1}')], TWO[:1], id="id before name"),
        pytest.param([piece(0, "c1", "f", {"a": 1})], TWO[:1], id="an object"),
        pytest.param(
            [piece(0, "c1", "f", "x = 1", custom=True), piece(0, None, None, "; y", custom=True)],
            [("f", "x = 1; y")],
            id="free form",
        ),
        pytest.param([{"index": 0}, {"index": "0", "function": "f"}, {"id": 5}], [(None, "")], id="nothing said"),
    ],
)
def test_pieces_find_their_call(pieces: list[dict[str, Any]], calls: list[tuple[str | None, str]]) -> None:
    assert gathered(*pieces) == calls
