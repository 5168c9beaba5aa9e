"""Puts the results of tools right behind the calls that they answer.

Some dialects let other messages stand between a call and its result; others refuse the whole request over that, as they
do over a result that comes a turn too late. Begin reading at `move_results`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llmproxy.dialects.model import Message, ToolCall, ToolResult


def move_results(messages: list[Message]) -> list[Message]:
    """`messages`, or the same ones in which each result stands in the message that follows its call."""
    late = _late(messages)
    if not late:
        return messages
    moved = {id(result) for results in late.values() for result in results}
    placed: list[Message] = []
    waiting: list[ToolResult] = []
    for index, message in enumerate(messages):
        if waiting and not _has_results(message):
            placed.append(Message(path=waiting[0].path, role="user", content=[*waiting]))
            waiting = []
        content = [block for block in message.content if id(block) not in moved]
        if content or waiting or not message.content:
            placed.append(msgspec.structs.replace(message, content=[*waiting, *content]))
        waiting = late.get(index, [])
    return placed


def _late(messages: Sequence[Message]) -> dict[int, list[ToolResult]]:
    """The results that do not stand right behind their calls, by the place of the message that has these."""
    called: dict[str, int] = {}
    late: dict[int, list[ToolResult]] = {}
    for index, message in enumerate(messages):
        for block in message.content:
            if isinstance(block, ToolCall):
                called[block.id] = index
            elif isinstance(block, ToolResult):
                place = called.pop(block.id, index - 1)  # of two results of one call the second stays where it is
                if place != index - 1:
                    late.setdefault(place, []).append(block)
    return late


def _has_results(message: Message) -> bool:
    return any([isinstance(block, ToolResult) for block in message.content])
