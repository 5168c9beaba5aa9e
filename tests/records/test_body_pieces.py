from __future__ import annotations

import json
import random

import pytest

from llmproxy.records.body_pieces import pieces_after, pieces_before, pieces_of_items
from llmproxy.wire.repeated_json import JsonMemory, ReadObject
from tests.support.agent_turns import agent_turns


def read(raw: bytes, memory: JsonMemory | None = None) -> ReadObject:
    result = (memory or JsonMemory()).read(raw, "messages")
    assert result is not None
    return result


def test_each_turn_and_each_long_member_is_a_piece() -> None:
    system, tools, turns = "s" * 1500, ["t" * 2000], [{"content": "x" * 10_000}, {"content": "y" * 9_000}]
    body = {"model": "m", "system": system, "messages": turns, "max_tokens": 5, "tools": tools, "stream": True}
    raw = json.dumps(body).encode()
    made = read(raw)
    assert [*pieces_before(made)] == [b'{"model": "m", "system": ', json.dumps(system).encode(), b', "messages": [']
    first, second = (json.dumps(turn).encode() for turn in turns)
    assert [*pieces_of_items(made, 0)] == [first, b", " + second]
    assert [*pieces_of_items(made, 1)] == [b", " + second] and [*pieces_of_items(made, 2)] == []
    assert [*pieces_after(made)] == [b'], "max_tokens": 5, "tools": ', json.dumps(tools).encode(), b', "stream": true}']


@pytest.mark.parametrize("seed", range(3))
def test_the_pieces_are_the_body(seed: int) -> None:
    memory = JsonMemory()
    for raw in agent_turns("/messages", random.Random(seed), 20):
        made = memory.read(raw, "messages")
        if made is None or not made.located().ends:
            continue
        before, items, after = pieces_before(made), pieces_of_items(made, 0), pieces_after(made)
        assert b"".join([*before, *items, *after]) == raw
        known = b"".join(pieces_of_items(made, made.known))
        start = made.known_bytes or made.located().begin + 1
        assert known == raw[start : made.located().ends[-1]]


def test_a_body_with_a_member_twice_has_no_items_to_cut_at() -> None:
    turns = [{"content": "x" * 20_000}, {"content": "y"}]
    whole = json.dumps({"messages": turns, "tools": ["t" * 2000]}).encode()
    memory = JsonMemory()
    memory.read(whole, "messages")
    assert not read(whole[:-1] + b', "tools": 1}', memory).located().ends
