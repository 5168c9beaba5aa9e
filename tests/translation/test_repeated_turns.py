"""Where conversations can be cut, and what is kept of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmproxy.dialects.encode_context import Losses, NeedsAllMessages, Options
from llmproxy.dialects.model import Block, Instruction, Media, Message, Opaque, Request, Text, ToolCall, ToolResult
from llmproxy.translation.repeated_turns import (
    KeptTurns,
    begin_keeping,
    ids_in,
    is_repeatable,
    item_index,
    place_to_cut,
    write_turns,
)


def messages(roles: str) -> list[Message]:
    names: dict[str, Any] = {"u": "user", "a": "assistant", "s": "system"}
    return [Message(role=names[role], content=[Text(text=role)]) for role in roles]


@pytest.mark.parametrize(
    ("roles", "place"),
    [("u", 0), ("uaua", 0), ("uauau", 1), ("uauaua", 1), ("uaauaua", 1), ("uauauu", 1), ("uauauau", 3), ("usuauau", 3)],
)
def test_the_last_two_turns_of_the_user_are_always_new(roles: str, place: int) -> None:
    assert place_to_cut(messages(roles)) == place


@pytest.mark.parametrize(
    ("block", "plain"),
    [
        (Text(text="a"), True),
        (Text(text="a", cache={}), False),
        (ToolResult(id="1", content=[Text(text="a", cache={})]), False),
        (ToolCall(id="1", name="f", arguments="{}"), True),
        (Media(kind="image", data="aa"), True),
        (Media(kind="image", url="https://example.org"), False),
        (Media(kind="document", data="aa"), False),
        (Opaque(dialect="chat", kind="k", value={}), False),
    ],
)
def test_only_what_stands_for_itself_is_kept(block: Block, plain: bool) -> None:
    assert is_repeatable([Message(role="user", content=[block])]) is plain


def test_ids_are_those_of_calls_and_results() -> None:
    blocks: list[Block] = [ToolCall(id="1", name="f", arguments=""), ToolResult(id="2", content=[]), Text(text="a")]
    assert ids_in([Message(role="user", content=blocks)]) == {"1", "2"}


def kept() -> KeptTurns:
    system = [Instruction(path="instructions", content=[]), Instruction(path="input[0]", content=[])]
    request = Request(dialect="responses", model="m", system=system, messages=messages("ua"))
    turns, losses, more = begin_keeping(request, "input", Options()), Losses(), Losses()
    losses.adapt("input[1].x", "none", "y")
    more.drop("input[7].y")
    return turns.extended(3, [{"a": 1}], losses, {"1"}, False).extended(9, [{"b": 2}, {"c": 3}], more, {"2"}, None)


def test_instructions_among_the_messages_are_kept_apart() -> None:
    assert [each.path for each in kept().system] == ["input[0]"]
    request = kept().request
    assert request is not None and not request.messages
    assert [each.path for each in request.system] == ["instructions"]


def test_the_beginning_of_what_is_kept_has_its_own_losses_and_ids() -> None:
    whole, part = kept(), kept().up_to(8)
    assert part is not None and (part.end.items, whole.end.items) == (3, 9)
    assert part.pieces == (b'{"a":1}',) and whole.pieces == (*part.pieces, b'{"b":2},{"c":3}')
    assert part.dropped == ("input[1].x",) and whole.dropped == ("input[1].x", "input[7].y")
    assert list(part.adapted) == ["input[1].x"] and part.ids == {"1": 3} and whole.ids == {"1": 3, "2": 9}
    assert part.end.lacks_thinking is whole.end.lacks_thinking is False
    assert whole.up_to(9) is not None and whole.up_to(2) is None
    assert whole.size_bytes(0) > part.size_bytes(0) and part.size_bytes(100) > part.size_bytes(0) + 100


def test_more_losses_than_are_listed_are_not_worth_keeping() -> None:
    losses = Losses()
    for number in range(501):
        losses.drop(f"input[{number}]")
    assert kept().is_worth_keeping and not kept().extended(10, [], losses, (), None).is_worth_keeping


def test_the_item_of_a_message_stands_in_its_path() -> None:
    assert item_index(Message(path="messages[12]", role="user", content=[]), "messages") == 12


@pytest.mark.parametrize("body", [{}, {"model": "m"}, {"model": "m", "stream": True}])
def test_pieces_stand_behind_the_instructions(body: dict[str, Any]) -> None:
    items = [{"role": "system", "content": "s"}, {"role": "assistant", "content": "\ud800"}]
    for written in ({"list": items, **body}, {**body, "list": items}):
        whole = json.loads(write_turns(written, "list", [b'{"a":1}', b'{"b":2},{"c":3}']))
        assert whole.pop("list") == [items[0], {"a": 1}, {"b": 2}, {"c": 3}, {**items[1], "content": "\ufffd"}]
        assert whole == body


def test_items_that_would_be_joined_with_those_before_need_all_messages() -> None:
    for items in ([], [{"role": "system"}], [{"role": "user"}]):
        with pytest.raises(NeedsAllMessages):
            write_turns({"list": items}, "list", [b"1"])
