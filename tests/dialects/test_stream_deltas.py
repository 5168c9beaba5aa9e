"""Deltas that arrive cut or blank."""

from __future__ import annotations

import pytest

from llmproxy.dialects.model import Block, Text, Thinking, ToolCall
from llmproxy.dialects.stream_deltas import DeltaRepair
from llmproxy.dialects.stream_events import Close, Delta, Event, Open

BLOCKS: list[Block] = [Text(text=""), Thinking(text="", dialect="chat"), ToolCall(id="c", name="f", arguments="")]


def repaired(block: Block, *texts: str, cut: bool = True) -> list[str]:
    """Return the deltas that a block of these is made of, each in a batch of its own or all in one."""
    events: list[Event] = [Open(index=0, block=block), *(Delta(index=0, text=text) for text in texts), Close(index=0)]
    repair = DeltaRepair()
    got = [each for event in events for each in repair.repair([event])] if cut else repair.repair(events)
    assert isinstance(got[0], Open) and isinstance(got[-1], Close)
    return [event.text for event in got if isinstance(event, Delta)]


@pytest.mark.parametrize("cut", [True, False])
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: type(block).__name__)
def test_the_halves_of_a_character_are_joined(block: Block, cut: bool) -> None:
    assert repaired(block, "a\ud83d", "\ude00b", cut=cut) == ["a", "\U0001f600b"]
    assert repaired(block, "a", "\ud83d", "", "\ude00", cut=cut) == ["a", "\U0001f600"]
    assert repaired(block, "a\ud83d", "\ude00\ud83d", "\ude00", cut=cut) == ["a", "\U0001f600", "\U0001f600"]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: type(block).__name__)
def test_half_a_character_without_the_other_stays_as_it_came(block: Block) -> None:
    assert repaired(block, "a\ud83d") == ["a", "\ud83d"]
    assert repaired(block, "a\ud83d", "b") == ["a", "\ud83db"]
    assert repaired(block, "\ude00a\U0001f600") == ["\ude00a\U0001f600"]


def test_halves_of_two_blocks_are_not_of_one_character() -> None:
    events = [Open(index=0, block=Text(text="")), Open(index=1, block=Text(text=""))]
    deltas = [Delta(index=0, text="\ud83d"), Delta(index=1, text="\ude00"), Delta(index=0, text="\ude01")]
    got = DeltaRepair().repair([*events, *deltas])
    assert [(each.index, each.text) for each in got if isinstance(each, Delta)] == [(1, "\ude00"), (0, "\U0001f601")]


def test_logprobs_do_not_wait_with_the_half() -> None:
    event = Delta(index=0, text="\ud83d", logprobs=[{}])
    assert DeltaRepair().repair([event]) == [Delta(index=0, text="", logprobs=[{}])]


@pytest.mark.parametrize("texts", [(), ("",), (" ",), ("null",), (" n", "ul", "l ")])
def test_arguments_that_are_none_are_an_empty_object(texts: tuple[str, ...]) -> None:
    assert repaired(ToolCall(id="c", name="f", arguments=""), *texts) == ["{}"]
    assert repaired(ToolCall(id="c", name="f", arguments="null"), *texts)[-1:] == ["{}"]


def test_arguments_wait_only_until_they_are_some() -> None:
    assert repaired(BLOCKS[2], " ", '{"a"', ":1}") == [' {"a"', ":1}"]


def test_the_text_of_a_custom_tool_may_be_blank() -> None:
    assert repaired(ToolCall(id="c", name="f", arguments="", custom=True), " ", "null") == [" ", "null"]
