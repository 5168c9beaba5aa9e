"""What was said, in pieces: the same whichever dialect tells it, and never an exception."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from llmproxy.dialects.chat import DIALECT as CHAT
from llmproxy.dialects.converse import DIALECT as CONVERSE
from llmproxy.dialects.dialect import Dialect
from llmproxy.dialects.gemini import DIALECT as GEMINI
from llmproxy.dialects.history import ASSISTANT, CALL, TOOL, USER, History, Piece, add, add_content, call_of, substance
from llmproxy.dialects.messages import DIALECT as MESSAGES
from llmproxy.dialects.responses import DIALECT as RESPONSES
from llmproxy.wire.json import read_value
from tests.dialects.test_any_input import ALL, SOME, spoiled
from tests.support.draws import draws
from tests.support.translation_cases import CASES, NAMES

DIALECTS: dict[str, Dialect] = {
    **{"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES},
    **{"gemini": GEMINI, "converse": CONVERSE},
}
HOLDERS = {"chat": "messages", "messages": "messages", "responses": "input"} | {
    "gemini": "contents",
    "converse": "messages",
}
PAIRS = [
    (case.name, first, second)
    for case in CASES
    for first, second in itertools.combinations(NAMES, 2)
    if first in case.requests and second in case.requests
]
# What a translation tells in another form: documents as a file, a text, or a text below its title; pictures in results
# of tools, which chat has not; instructions among the messages, which gemini has not.
OTHERWISE = {"document-citations", "document-text", "tool-result-image", "later-system"}
QUICK = draws(100, suppress_health_check=list(HealthCheck))
JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KINDS = [
    *("text", "input_text", "output_text", "refusal", "image_url", "thinking", "reasoning", "tool_use", "tool_result"),
    *("function_call", "custom_tool_call", "function_call_output", "item_reference", "message", "file"),
]
NAMED = [
    *("role", "type", "content", "text", "name", "arguments", "input", "output", "tool_calls", "function", "custom"),
    *("function_call", "refusal", "source", "image_url", "url", "data", "id"),
]
WORDS: Any = st.sampled_from([*KINDS, "user", "assistant", "system", "tool", "data:a;base64,b", "{}", '{"input":"x"}'])
PART: Any = st.recursive(
    JSON | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMED), inner, max_size=5),
    max_leaves=12,
)


def said(case: str, dialect: str) -> list[Piece]:
    [request] = [each.requests[dialect] for each in CASES if each.name == case]
    return DIALECTS[dialect].readers.history(request).pieces


def check(history: History) -> None:
    """Whatever was read, it is what a history is."""
    assert all(
        isinstance(text, str) and text and role in (USER, ASSISTANT, CALL, TOOL) for role, text in history.pieces
    )
    assert 0 <= history.last <= len(history.pieces)


@pytest.mark.parametrize(("case", "first", "second"), PAIRS)
def test_the_same_conversation_has_the_same_pieces_in_every_dialect(case: str, first: str, second: str) -> None:
    assert said(case, first) == said(case, second) or case in OTHERWISE


@pytest.mark.parametrize("case", sorted(OTHERWISE))
def test_what_is_told_otherwise_is_listed_with_reason(case: str) -> None:
    assert len({json.dumps(said(case, name)) for name in NAMES}) > 1


@pytest.mark.parametrize("dialect", NAMES)
def test_golden_requests_are_read(dialect: str) -> None:
    for body in ALL[dialect]:
        check(DIALECTS[dialect].readers.history(body))


@pytest.mark.parametrize("dialect", NAMES)
@given(data=st.data())
@QUICK
def test_any_json_is_read(dialect: str, data: st.DataObject) -> None:
    messages = st.fixed_dictionaries({HOLDERS[dialect]: st.lists(PART, max_size=4) | JSON})
    check(DIALECTS[dialect].readers.history(data.draw(messages | spoiled(SOME[dialect]))))


@pytest.mark.parametrize("dialect", NAMES)
@pytest.mark.parametrize("opening", ["[", '{"a":', '{"input":', '{"content":[', '{"source":'])
@pytest.mark.parametrize("depth", [100, 700, 950])
def test_what_is_nested_deeply_is_read(dialect: str, opening: str, depth: int) -> None:
    """As deep as it can be decoded; encoding it may be more than the stack holds."""
    closing = "".join({"[": "]", "{": "}"}[each] for each in reversed(opening) if each in "[{")
    deep = read_value((opening * depth + "1" + closing * depth).encode())
    for part in (
        {"role": "user", "content": deep},
        {"role": "user", "content": [{"type": "odd", "x": deep}, {"type": deep}]},
        {"role": "assistant", "tool_calls": [{"function": {"name": deep, "arguments": deep}}], "content": []},
        {"role": "assistant", "content": [{"type": "tool_use", "name": deep, "input": deep}]},
        {"type": "function_call", "name": deep, "arguments": deep},
        {"type": "odd", "x": deep},
        {"role": deep},
        deep,
    ):
        check(DIALECTS[dialect].readers.history({HOLDERS[dialect]: [part]}))


def test_arguments_deeper_than_the_stack_say_nothing_but_that() -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    assert call_of("look", deep) == (CALL, "look [...]")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"b": 1, "a": [2, {"d": 3, "c": 4}]}', {"a": [2, {"c": 4, "d": 3}], "b": 1}),
        ("", {}),
        ("1 + 2", {"input": "1 + 2"}),
        ('{"b":1, "a":2}', {"input": '{ "a":2,"b":1 }'}),
        ('{"input": "3"}', {"input": "3"}),
        ('{"a": "\\ud800", "b": 1}', {"b": 1, "a": "\ud800"}),
    ],
)
def test_calls_are_the_same_however_their_arguments_are_told(one: str, other: object) -> None:
    assert call_of("look", one) == call_of("look", other)


def test_calls_differ_in_what_they_say() -> None:
    actual = [call_of("look", each) for each in ({"a": 1}, {"a": 2}, {"b": 1}, {}, "a", {"input": 1})]
    assert len(set(actual)) == len(actual)
    assert call_of("look", {}) != call_of("see", {})


@pytest.mark.parametrize("text", ["  Hello, you ", "Hello,\n\tyou", "Hello,   you\r\n"])
def test_white_space_does_not_count_in_short_texts(text: str) -> None:
    pieces: list[Piece] = []
    add(USER, text, pieces)
    assert pieces == [(USER, "Hello, you")]


@given(st.text(st.sampled_from("ab \n\t\x1c\x85\xa0\u200b\u2003\u2028\u3000é"), max_size=12))
def test_a_short_text_is_levelled_out_as_by_its_words(text: str) -> None:
    pieces: list[Piece] = []
    add(USER, text, pieces)
    words = " ".join(text.split())
    assert pieces == ([(USER, words)] if words else [])


@pytest.mark.parametrize("text", ["", " \n", None, 3, ["Hello"]])
def test_what_says_nothing_is_no_piece(text: object) -> None:
    pieces: list[Piece] = []
    add(USER, text, pieces)
    assert pieces == []


def test_a_string_says_the_same_as_its_parts() -> None:
    whole: list[Piece] = []
    parts: list[Piece] = []
    add_content(USER, "Hello", frozenset({"text"}), frozenset(), whole)
    add_content(USER, [{"type": "text", "text": "Hello"}], frozenset({"text"}), frozenset(), parts)
    assert whole == parts == [(USER, "Hello")]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        {"type": "image", "source": {"data": "AAAA"}, "cache_control": {"type": "ephemeral"}},
    ],
)
def test_a_picture_is_its_data(part: dict[str, Any]) -> None:
    assert substance(part) == "AAAA"


def test_other_parts_are_known_without_what_passes() -> None:
    one = {"type": "odd", "id": "a", "status": "done", "y": 1, "x": 2, "cache_control": {}}
    assert substance(one) == substance({"x": 2, "type": "odd", "y": 1, "id": "b"}) == '{"type":"odd","x":2,"y":1}'
