"""Reading only the new turns of a request gives what reading all of it gives."""

from __future__ import annotations

import random

import pytest

from llmproxy.body import Body
from llmproxy.caching.request_content import CacheableRequest, read_content
from llmproxy.dialects.catalog import find
from llmproxy.wire.repeated_json import JsonMemory
from tests.support.agent_turns import agent_turns


def content_of(raw: bytes, path: str, memory: JsonMemory) -> CacheableRequest | None:
    endpoint = find("POST", path)
    assert endpoint is not None
    return read_content(Body(raw, memory=memory, turns=endpoint.dialect.readers.turns), endpoint.dialect)


@pytest.mark.parametrize("path", ["/chat/completions", "/messages", "/responses"])
def test_a_turn_that_goes_on_is_what_it_is_alone(path: str) -> None:
    memory = JsonMemory()
    for raw in agent_turns(path, random.Random(path)):
        assert content_of(raw, path, memory) == content_of(raw, path, JsonMemory())


def test_only_the_turns_count_and_not_how_they_are_written() -> None:
    bodies = [b'{"messages":[{"role":"user","content":"%b"}]}', b'{ "messages" : [ {"content":"%b", "role":"user"} ] }']
    one, other = (content_of(body % (b"x" * 20_000), "/chat/completions", JsonMemory()) for body in bodies)
    assert one == other and one is not None and one.turns and not one.raw
    changed = content_of(bodies[0] % (b"x" * 20_001), "/chat/completions", JsonMemory())
    assert changed is not None and changed.turns != one.turns


def test_a_key_twice_makes_a_long_request_the_same_as_its_bytes() -> None:
    raw = b'{"messages":[{"role":"user","content":"%b"}],"messages":[]}' % (b"x" * 20_000)
    content = content_of(raw, "/chat/completions", JsonMemory())
    assert content is not None and content.raw == raw


def test_a_reference_among_old_turns_still_names_something_stored() -> None:
    memory = JsonMemory()
    text = f'{{"role":"user","content":"{"x" * 4000}"}}'
    items = ['{"type":"item_reference","id":"msg_1"}', *[text] * 20]
    for count in range(10, 20):
        raw = f'{{"input":[{",".join(items[:count])}]}}'.encode()
        content = content_of(raw, "/responses", memory)
        assert content is not None and content.names_stored


def test_a_turn_that_readers_understand_differently_is_forgotten_when_it_is_left_out() -> None:
    memory = JsonMemory()
    text = f'{{"role":"user","content":"{"x" * 4000}"}}'
    for last, ambiguous in (("1", False), ("-0", True), ("1", False)):
        raw = f'{{"messages":[{",".join([text] * 20)},{{"role":"user","n":{last}}}]}}'.encode()
        content = content_of(raw, "/chat/completions", memory)
        assert content is not None and bool(content.raw) is ambiguous
        assert content == content_of(raw, "/chat/completions", JsonMemory())


@pytest.mark.parametrize(
    ("first", "other", "same"),
    [
        ('{"a":[1,{"b":"x y"}]}', ' { "a" : [ 1 , { "b" : "x y" } ]\n}', True),
        ('{"a":1.5}', '{"a": 1.50}', True),
        ('{"a":"\u00e9"}', '{"a": "\\u00e9"}', True),
        ('{"a":1}', '{"a": 2, "a": 1}', False),
        ('{"a":0}', '{"a": -0}', False),
        ('{"a":0.1}', '{"a": 0.1000000000000000055511151231257827021181583404541015625}', False),
    ],
)
def test_white_space_and_spelling_do_not_matter_and_what_readers_see_differently_does(
    first: str, other: str, same: bool
) -> None:
    compact, spaced = (content_of(each.encode(), "/chat/completions", JsonMemory()) for each in (first, other))
    assert (compact == spaced) is same


def test_what_stands_around_the_turns_is_read_again_where_it_changes() -> None:
    memory = JsonMemory()
    body = '{"messages":[%s],"temperature":%s}'
    for count, temperature in ((10, "0.5"), (11, "0.5"), (12, "0.7"), (13, "0.70"), (14, "0.5")):
        raw = (body % (",".join(['"' + "x" * 4000 + '"'] * count), temperature)).encode()
        content = content_of(raw, "/chat/completions", memory)
        assert content == content_of(raw, "/chat/completions", JsonMemory())
        assert content is not None and content.members["temperature"] == float(temperature)
