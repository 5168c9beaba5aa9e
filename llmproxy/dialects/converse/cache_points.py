"""Prompt-cache marks, which are blocks of their own here: everything in front of a `cachePoint` is cached.

In neutral form a mark belongs to what stands in front of it. Source: the shape `CachePointBlock`, and the user guide's
page on prompt caching: four points at most. Begin reading at `take_point`, `point_of` and `put_points`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from llmproxy.dialects.cache_marks import CONTROL, PlacedMark
from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.members import Members
from llmproxy.dialects.model import Block, Media, Opaque, Request, Text, Tool, ToolCall, ToolResult

Blocks: TypeAlias = list[dict[str, Any]]

POINT = "cachePoint"
_MOST = 4
_DEFAULT = {"type": "default"}


def take_point(block: Members, before: Sequence[Block | Tool]) -> Opaque | None:
    """Mark the last one of `before` with the cache point in `block`; return a point that nothing can hold."""
    last = before[-1] if before else None
    point = Members(block.rest[POINT], block.at(POINT))
    if not isinstance(last, Text | Media | ToolCall | ToolResult | Tool) or last.cache is not None:
        return Opaque(
            path=block.path, dialect="converse", kind=POINT, value=block.rest, declares=True, extra=block.left()
        )
    point.any("type")
    mark = PlacedMark({"type": "ephemeral", **point.left()})
    mark.path = point.path
    last.cache = mark
    return None


def point_of(node: Text | Media | ToolCall | ToolResult | Tool | Request, context: EncodeContext) -> dict[str, Any]:
    """Return the block of the mark of `node`, of any dialect."""
    marked: dict[str, Any] = {}
    context.put_cache_control(marked, node)
    mark = marked[CONTROL]
    if isinstance(mark, PlacedMark):
        return {POINT: {**mark, **_DEFAULT}}
    lifetime = mark.get("ttl") if isinstance(mark, dict) else None
    return {POINT: {**_DEFAULT, "ttl": lifetime} if lifetime in ("5m", "1h") else _DEFAULT}


def put_points(body: dict[str, Any], context: EncodeContext) -> None:
    """Remove the first points where there are more than the vendor takes; else add some behind the last tool, the
    system prompt and the last two turns of the user, as far as the target's options say so."""
    points = [(blocks, block) for blocks in _lists(body) for block in blocks if POINT in block]
    if len(points) > _MOST:
        for blocks, block in points[:-_MOST]:
            blocks[:] = [each for each in blocks if each is not block]
        context.adapt("cachePoint", f"there are {_MOST} points at most", "the last ones")
    _order_lifetimes([block for _, block in points[-_MOST:]])
    option = context.options.prompt_cache
    if option == "off" or (option == "auto" and not _goes_on(body)) or any("ttl" in each[POINT] for _, each in points):
        return
    turns = [message["content"] for message in body["messages"] if message["role"] == "user"][-2:]
    if len(turns) < 2:
        context.need_all_messages()
    places = [*turns[-1:], body.get("system"), (body.get("toolConfig") or {}).get("tools"), *turns[:-1]]
    left = _MOST - len(points)
    for blocks in [each for each in places if each]:
        if left > 0 and POINT not in blocks[-1]:
            blocks.append({POINT: _DEFAULT})
            left -= 1
            context.losses.cache_marks += 1


def _order_lifetimes(points: Sequence[dict[str, Any]]) -> None:
    """Give the longer lifetime to points in front of one that has it: Claude refuses the other order."""
    longer: Any = None
    for block in reversed(points):
        if block[POINT].get("ttl") == "1h":
            longer = block[POINT]
        elif longer is not None:
            block[POINT] = longer


def _lists(body: dict[str, Any]) -> Iterator[Blocks]:
    """Yield the lists in which points may stand, in the order of the prompt."""
    yield (body.get("toolConfig") or {}).get("tools", [])
    yield body.get("system", [])
    for message in body["messages"]:
        yield message["content"]


def _goes_on(body: dict[str, Any]) -> bool:
    """Say whether the prompt is likely to be sent again: a single question would only pay for the writing."""
    return "toolConfig" in body or any(message["role"] == "assistant" for message in body["messages"])
