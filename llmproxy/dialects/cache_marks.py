"""Prompt-cache marks in two forms: `cache_control` of a Messages API and of gateways, and OpenAI's
`prompt_cache_breakpoint`, which its models from 5.6 on know. A mark is kept as it came; its members tell its form.

Sources: the SDKs' `cache_control_ephemeral_param` and `PromptCacheBreakpoint`. Begin reading at `take_mark`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from llmproxy.dialects.members import Members
from llmproxy.dialects.model import Block, Media, Text

CONTROL, BREAKPOINT = "cache_control", "prompt_cache_breakpoint"
_EXPLICIT = {"mode": "explicit"}
# Lifetimes other than the default, and the nearest one of the other form. OpenAI's default, 30 minutes, is nearer to an
# hour than 12 hours are.
_HOUR, _HALF_DAY = "1h", "12h"


class PlacedMark(dict[str, Any]):
    """A mark (`cache_control`) that did not stand in what it marks, but at the JSON path `path`."""

    path: str = ""


def take_mark(part: Members) -> Any:
    """Take the mark of a part, None without one."""
    mark = part.any(CONTROL)
    return part.any(BREAKPOINT) if mark is None and BREAKPOINT in part.rest else mark


def name_of_mark(mark: Any) -> str:
    """Return the name of the member in which a mark stood."""
    return BREAKPOINT if isinstance(mark, dict) and "mode" in mark else CONTROL


def path_of_mark(mark: Any, path: str) -> str:
    """Return the JSON path of the mark of what stands at `path`."""
    if isinstance(mark, PlacedMark):
        return mark.path
    return f"{path}.{name_of_mark(mark)}" if path else name_of_mark(mark)


def as_control(mark: Any) -> tuple[Any, str | None]:
    """Return a mark as `cache_control`, and the lifetime that this changes, if any was named."""
    if name_of_mark(mark) == CONTROL:
        return mark, None
    ttl = mark.get("ttl")
    return {"type": "ephemeral"} | ({"ttl": _HOUR} if ttl == _HALF_DAY else {}), ttl


def as_breakpoint(mark: Any) -> tuple[Any, str | None]:
    """Return a mark as `prompt_cache_breakpoint`, and the lifetime that this cuts short, if any was named."""
    if name_of_mark(mark) == BREAKPOINT:
        return mark, None
    ttl = mark.get("ttl") if isinstance(mark, dict) else None
    return _EXPLICIT, ttl if ttl == _HOUR else None


def marked_at_end(blocks: Sequence[Block], mark: Any) -> list[Block] | None:
    """Return the blocks with a mark on the last one, for a form that has none on what holds them; None where that one
    can have none."""
    if mark is None or not blocks or not isinstance(blocks[-1], Text | Media):
        return None
    last = blocks[-1] if blocks[-1].cache is not None else msgspec.structs.replace(blocks[-1], cache=mark)
    return [*blocks[:-1], last]
