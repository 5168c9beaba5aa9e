"""Moves the results of tools right behind the calls that they answer.

Some dialects accept other messages between a call and its result; others refuse the whole request over that, and over a
result that comes a turn too late. Begin reading at `move_results`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.model import Block, Message, ToolCall, ToolResult


def move_results(messages: list[Message], losses: Losses) -> list[Message]:
    """Return `messages`, or the same ones in which one result of each call stands in the message behind its call. A
    result in whose place another one stands is listed in `losses`."""
    if not any([type(block) is ToolResult for message in messages for block in message.content]):
        return messages
    messages = _without_repeats(messages, losses)
    late = _late(messages)
    if not late:
        return messages
    moved = {id(result) for results in late.values() for result in results}
    ordered: list[Message] = []
    waiting: list[ToolResult] = []
    for index, message in enumerate(messages):
        if waiting and not _has_results(message):
            ordered.append(Message(path=waiting[0].path, role="user", content=[*waiting]))
            waiting = []
        content = [block for block in message.content if id(block) not in moved]
        if content or waiting or not message.content:
            ordered.append(msgspec.structs.replace(message, content=[*waiting, *content]))
        waiting = late.get(index, [])
    return ordered


def _without_repeats(messages: list[Message], losses: Losses) -> list[Message]:
    """Return the messages with one result for each call, at the first place.

    Of two that differ the later one counts, which some clients send when they try again. Those of a custom tool are
    parts of one: Codex sends what its code reports, one after the other.
    """
    first: dict[str, ToolResult] = {}
    later: dict[int, ToolResult | None] = {}
    for message in messages:
        for block in message.content:
            if isinstance(block, ToolCall):
                first.pop(block.id, None)
            elif isinstance(block, ToolResult) and first.setdefault(block.id, block) is not block:
                place = id(first[block.id])
                before = later.get(place) or first[block.id]
                later[place], later[id(block)] = _one_of(before, block, losses), None
    if not later:
        return messages
    kept: list[Message] = []
    for message in messages:
        content = [each for block in message.content if (each := later.get(id(block), block)) is not None]
        if content or not message.content:
            kept.append(msgspec.structs.replace(message, content=content))
    return kept


def _one_of(before: ToolResult, after: ToolResult, losses: Losses) -> ToolResult:
    """Return what stands for two results of one call."""
    if after.custom:
        return _joined(before, after)
    if _without_paths(before.content) != _without_paths(after.content):
        losses.drop(before.path)
    return after


def _joined(before: ToolResult, after: ToolResult) -> ToolResult:
    """Return two results of one call as one; the same once more adds nothing."""
    if _without_paths(before.content[-len(after.content) :]) == _without_paths(after.content):
        return before
    content = [*before.content, *after.content]
    return msgspec.structs.replace(before, content=content, error=before.error or after.error)


def _without_paths(content: list[Block]) -> list[Block]:
    return [msgspec.structs.replace(block, path="") for block in content]


def _late(messages: Sequence[Message]) -> dict[int, list[ToolResult]]:
    """Return the results that do not stand right behind their calls, by the index of the message with the calls."""
    called: dict[str, int] = {}
    late: dict[int, list[ToolResult]] = {}
    for index, message in enumerate(messages):
        for block in message.content:
            if isinstance(block, ToolCall):
                called[block.id] = index
            elif isinstance(block, ToolResult):
                call_index = called.pop(block.id, index - 1)  # of two results of one call the second stays where it is
                if call_index != index - 1:
                    late.setdefault(call_index, []).append(block)
    return late


def _has_results(message: Message) -> bool:
    return any([isinstance(block, ToolResult) for block in message.content])
