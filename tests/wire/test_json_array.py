"""An array that comes element by element, cut anywhere."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.errors import BrokenStream
from llmproxy.wire.framing import Frame, StreamBeginning
from llmproxy.wire.json_array import JSON_ARRAY, ArrayPosition, ArrayScanner, ArraySplitter, ArrayWriter
from tests.support.draws import draws

ODD: list[Any] = [
    {"a": "]},[{", "b": ["\\", '"', "\\\\"]},
    [[], [[1, {"c": "}"}]]],
    {},
    'a, "string" [',
    12.5e3,
    None,
    True,
    {"é": "\U0001f642"},
]
STREAM = b"\xef\xbb\xbf \r\n[" + b"\n,\r\n".join(json.dumps(each, indent=1).encode() for each in ODD) + b"\n] \n"
JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='\\"[]{},: \n\u00e9a', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def pieces_of(data: bytes, places: list[int]) -> list[bytes]:
    cuts = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(cuts)]


def elements(pieces: list[bytes]) -> list[Any]:
    splitter = ArraySplitter()
    frames = [frame for piece in pieces for frame in splitter.feed(piece)]
    return [json.loads(frame.data) for frame in (*frames, *splitter.flush())]


def test_it_is_cut_at_every_byte() -> None:
    assert elements([STREAM]) == ODD
    assert elements([bytes([byte]) for byte in STREAM]) == ODD
    for place in range(len(STREAM)):
        assert elements([STREAM[:place], STREAM[place:]]) == ODD


@given(
    values=st.lists(JSON, max_size=4),
    places=st.lists(st.integers(0, 400), max_size=6),
    indent=st.sampled_from([None, 2]),
)
@draws(150)
def test_any_values_come_out_as_they_went_in(values: list[Any], places: list[int], indent: int | None) -> None:
    data = json.dumps(values, indent=indent).encode()
    assert elements(pieces_of(data, places)) == values


def test_an_element_is_known_before_what_follows_it() -> None:
    splitter = ArraySplitter()
    assert splitter.feed(b'[{"a":1}') == [Frame("", b'{"a":1}')]
    assert splitter.feed(b',{"b":') == [] and splitter.feed(b"2}") == [Frame("", b'{"b":2}')]


def test_an_error_is_a_list_of_one() -> None:
    assert elements([b'[{"error":{"code":400}}\n]']) == [{"error": {"code": 400}}]
    assert elements([b" [ ] "]) == []


@pytest.mark.parametrize("end", range(1, len(b'[{"a":"b"},{"c":1}]')))
def test_one_that_breaks_off_is_a_broken_stream(end: int) -> None:
    splitter = ArraySplitter()
    splitter.feed(b'[{"a":"b"},{"c":1}]'[:end])
    with pytest.raises(BrokenStream, match="ended before"):
        splitter.flush()


@pytest.mark.parametrize(
    "data", [b'{"a":1}', b"[{}{}]", b"[{}]x", b"[,{}]", b"[{},]", b"[{},,{}]", b"data: {}\n\n", b"[:]"]
)
def test_what_is_no_array_is_a_broken_stream(data: bytes) -> None:
    splitter = ArraySplitter()
    with pytest.raises(BrokenStream, match="not a JSON array"):
        for _ in range(3):
            splitter.feed(data)
            data = b" "


def test_an_element_that_never_ends_is_a_broken_stream() -> None:
    splitter = ArraySplitter(max_bytes=100)
    with pytest.raises(BrokenStream, match="100 bytes"):
        splitter.feed(b'[{"a":"' + b"x" * 100)
    assert len(ArraySplitter(max_bytes=100).feed(b"[" + b'{"a":1},' * 1000)) == 1000


@pytest.mark.parametrize("byte", [b" ", b"\n", b"["])
def test_blanks_and_brackets_are_passed_over_by_the_run(byte: bytes) -> None:
    started_s = time.process_time()
    ArrayScanner().scan(b"[" + byte * 8_000_000)
    assert time.process_time() - started_s < 1


def test_a_run_of_brackets_may_close_more_than_the_element() -> None:
    assert elements([b"[[[{}],[1]]]"]) == [[[{}], [1]]]
    assert elements([b"[[[", b"]", b"]]"]) == [[[]]]
    scanner = ArrayScanner()
    assert scanner.scan(b"[[[]]]]") == [(1, 5)] and scanner.broken


def test_its_position_says_where_our_frame_fits() -> None:
    position = ArrayPosition()
    seen = []
    for byte in b'[{"a":"]"} ,{}]\n':
        position.advance(bytes([byte]))
        seen.append((position.between_frames(), position.keepalive()))
    fits = [fits for fits, _ in seen]
    assert fits == [False] * 9 + [True, True, False, False, True, False, False]
    assert [kept for _, kept in seen if kept] == [b"\n"] * 5
    broken = ArrayPosition()
    broken.advance(b"{}")
    assert not broken.between_frames() and broken.keepalive() == b""


def test_the_beginning_is_certain_with_the_first_element() -> None:
    beginning = StreamBeginning(JSON_ARRAY)
    for piece in (b" [", b'{"a":', b"[1]"):
        beginning.add(piece)
        assert not beginning.found
    beginning.add(b"}\n,")
    assert beginning.found and beginning.read() == b' [{"a":[1]}\n,'


@pytest.mark.parametrize(
    ("data", "first", "last", "ends"),
    [
        (b'[{"a":1},{"b":2}', 8, 16, True),
        (b'[{"a":1},', 8, 8, False),
        (b',{"b":2}\n]', 8, 8, True),
        (b"]", -1, -1, True),
        (b"[", -1, -1, False),
        (b"", -1, -1, False),
    ],
)
def test_whole_frames_are_found(data: bytes, first: int, last: int, ends: bool) -> None:
    assert JSON_ARRAY.event_end(data) == first
    assert JSON_ARRAY.last_frame_end(data, 0) == last
    assert JSON_ARRAY.ends_frame(data) is ends


@pytest.mark.parametrize(("data", "begins"), [(b' [{"a"', True), (b"[]", True), (b"[1]", False), (b"{}", False)])
def test_it_is_known_by_how_it_begins(data: bytes, begins: bool) -> None:
    assert JSON_ARRAY.begins(data) is begins


def test_frames_of_others_are_written_as_an_array() -> None:
    writer = ArrayWriter()
    written = writer.write([Frame("", b'{"a":1}'), Frame("x", b'{"b":2}')]) + writer.write([]) + writer.close()
    assert json.loads(written) == [{"a": 1}, {"b": 2}]
    assert json.loads(ArrayWriter().close()) == []
    assert JSON_ARRAY.last_frame is not None
    assert json.loads(ArrayWriter().write([Frame("", b"{}")]) + JSON_ARRAY.last_frame(b'{"error":{}}')) == [
        {},
        {"error": {}},
    ]
