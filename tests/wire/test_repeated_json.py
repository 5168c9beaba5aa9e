"""An object that goes on from an earlier one is read as if it stood alone."""

from __future__ import annotations

import json
import random

import msgspec
import pytest

from llmproxy.wire.json import read_members
from llmproxy.wire.repeated_json import SMALLEST_BYTES, JsonMemory
from tests.support.agent_turns import agent_turns


@pytest.mark.parametrize("seed", range(5))
def test_members_and_items_are_those_of_the_object_alone(seed: int) -> None:
    memory, gone_on = JsonMemory(), 0
    for raw in agent_turns("/messages", random.Random(seed), 100):
        read = memory.read(raw, "messages")
        if read is None:
            continue
        members = read_members(raw)
        assert {name: bytes(value) for name, value in read.members.items()} == {
            name: bytes(value) for name, value in members.items()
        }
        items = msgspec.json.decode(members["messages"])
        for start in {0, read.known // 2, read.known}:
            assert read.items(start) == items[start:]
        assert read.strict
        if not read.known:
            continue
        gone_on += 1
        assert read.items(0)[: read.known] == msgspec.json.decode(raw[: read.known_bytes] + b"]}")["messages"]
        assert raw[: read.end] + raw[read.end :] == raw and raw[read.end - 1 : read.end] == b"]"
        assert json.loads(read.without_items()) == {**json.loads(raw), "messages": None}
    assert gone_on > 50


def body(items: list[str], tail: str = "}") -> bytes:
    return f'{{"a":1,"list":[{",".join(items)}]{tail}'.encode()


LONG = [f'"{"x" * SMALLEST_BYTES}"', "1", "2"]


def test_a_number_that_goes_on_is_another_number() -> None:
    for rest in ("0", ".5", "e3"):
        memory = JsonMemory()
        memory.read(body(LONG), "list")
        raw = body([*LONG[:-1], f"2{rest}"])
        read = memory.read(raw, "list")
        assert read is not None and read.items(0) == json.loads(raw)["list"]


def test_a_list_that_stands_twice_is_the_last_one() -> None:
    memory = JsonMemory()
    memory.read(body(LONG), "list")
    for tail in (',"list":[3]}', ',"l\\u0069st":[3]}', ',"list":["",1,2]}', ',"a":2}'):
        raw = body(LONG, tail)
        read = memory.read(raw, "list")
        assert read is not None and {name: bytes(each) for name, each in read.members.items()} == {
            name: bytes(each) for name, each in read_members(raw).items()
        }


def test_broken_objects_are_not_read() -> None:
    memory = JsonMemory()
    memory.read(body(LONG), "list")
    for raw in (body(LONG)[:-1], body(LONG) + b"}", body([*LONG, "nul"]), body(LONG, ""), body(LONG, ',"b":NaN}')):
        assert memory.read(raw, "list") is None


def test_text_that_is_not_strict_is_found_in_old_and_new_items() -> None:
    for place in (0, 1, 2, 3):
        memory = JsonMemory()
        items = [*LONG, "3", "4"]
        items[place] = f'"{"x" * SMALLEST_BYTES}\\ud800"'
        for count in (3, 4, 5):
            read = memory.read(body(items[:count]), "list")
            assert read is None or read.strict is (count <= place)


def test_the_memory_is_bounded_and_the_longest_unused_goes_first() -> None:
    memory = JsonMemory(max_bytes=10 * SMALLEST_BYTES)
    for number in range(1000):
        memory.read(body([f'"{number}"', *LONG]), "list")
        assert memory.size_bytes <= 10 * SMALLEST_BYTES
    memory.read(body(LONG * 3, ',"b":2}'), "list")
    again = memory.read(body([*LONG * 3, "7"]), "list")
    assert again is not None and again.known == 9


def test_a_conversation_holds_only_its_last_turn() -> None:
    memory = JsonMemory()
    for count in range(1, 50):
        memory.read(body([*LONG, *["1"] * count]), "list")
    assert memory.size_bytes < 2 * SMALLEST_BYTES


def test_a_member_that_stands_twice_behind_the_list_makes_an_object_unusual() -> None:
    memory = JsonMemory()
    memory.read(body(LONG), "list")
    for raw in (body(LONG, ',"b":1,"b":2}'), body([*LONG, "3"], ',"b":1,"\\u0062":2}')):
        read = memory.read(raw, "list")
        assert read is not None and not read.known, "as in an object that goes on from none"


@pytest.mark.parametrize(
    "raw",
    [
        body(["0"] * SMALLEST_BYTES),
        body(['{"a":"b"}'] * SMALLEST_BYTES),
        b"{%b}" % b",".join(b'"%d":0' % number for number in range(SMALLEST_BYTES)).replace(b'"0":0', b'"list":[1]'),
    ],
    ids=["numbers", "objects", "members"],
)
def test_of_an_object_in_many_small_pieces_nothing_but_its_bytes_is_remembered(raw: bytes) -> None:
    memory = JsonMemory()
    for _ in range(2):
        read = memory.read(raw, "list")
        if read is not None:
            assert read.strict and read.known == 0 and not read.shared_with(raw)
            with pytest.raises(ValueError, match="too many items"):
                read.items(0)


def test_a_list_that_grows_to_many_small_pieces_is_read_as_a_whole() -> None:
    memory = JsonMemory()
    memory.read(body(LONG), "list")
    raw = body([*LONG, *["0"] * SMALLEST_BYTES])
    read = memory.read(raw, "list")
    assert read is not None and read.known == 0 and bytes(read.members["list"]) == raw[raw.index(b"[") : -1]


def test_an_object_is_found_again_where_what_follows_its_list_is_long() -> None:
    memory, tail = JsonMemory(), f'],"tools":["{"t" * 3 * SMALLEST_BYTES}"]}}'
    for count in range(1, 30):
        raw = f'{{"list":[{",".join(["""{"a":"%s"}""" % ("x" * 1000)] * count)}{tail}'.encode()
        read = memory.read(raw, "list")
        assert read is not None and read.known == count - 1
    assert memory.size_bytes == len(raw)


@pytest.mark.parametrize("tail", ["}", ', "tools": [1, 2], "stream": false}'], ids=["short", "spaced"])
def test_many_conversations_with_the_same_long_instructions_are_each_found_again(tail: str) -> None:
    memory, instructions = JsonMemory(), f'"{"i" * 3 * SMALLEST_BYTES}"'
    conversations = [[instructions, f'"question {f"of {number} " * 50}"'] for number in range(30)]
    for turn in range(10):
        for number, items in enumerate(conversations):
            read = memory.read(body(items, tail), "list")
            assert read is not None and (turn == 0 or read.known == len(items) - 2)
            items += [f'"answer {f"{turn} to {number} " * 50}"', f'"and {turn}?"']


def test_conversations_that_differ_in_their_first_item_alone_are_told_apart() -> None:
    memory = JsonMemory()
    items = [f'"{number} {"x" * 900}"' for number in range(60)]
    for conversation in range(12):
        for count in range(40, 60, 2):
            read = memory.read(body([f'"{conversation:02}"', *items[:count]], ', "tools": [1], "b": 2}'), "list")
            assert read is not None and read.known == (count - 1 if count > 40 else 0)


def test_what_is_kept_counts_and_goes_with_its_object() -> None:
    memory = JsonMemory(max_bytes=10 * SMALLEST_BYTES)
    read = memory.read(body(LONG), "list")
    assert read is not None
    read.keep("name", "value", 2 * SMALLEST_BYTES)
    assert read.derived == {"name": "value"} and memory.size_bytes == len(read.data) + 2 * SMALLEST_BYTES
    after = memory.read(body([*LONG, "3"]), "list")
    assert after is not None and after.inherited["name"] == "value" and memory.size_bytes == len(after.data)
    assert read.next is after
    after.keep("name", "first", 900)
    after.keep("name", "longer", 1)
    assert memory.size_bytes == len(after.data) + 1
    assert after.derived == {"name": "longer"} and "name" not in after.inherited
    after.keep("more", "too much", 10 * SMALLEST_BYTES)
    assert memory.size_bytes == 0
    after.keep("later", "value", 1)
    assert memory.size_bytes == 0 and "later" not in after.derived
