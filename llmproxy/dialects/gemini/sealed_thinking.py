"""Sealed thinking in requests of generateContent: the signatures of parts.

From Gemini 3 on the first call of each step of the turn under way needs one; a filler stands in place of those that
other models made (ai.google.dev/gemini-api/docs/thought-signatures). Begin reading at `leave_out`.
"""

from __future__ import annotations

import re
from typing import Any

from llmproxy.dialects.gemini.models import family_of
from llmproxy.dialects.gemini.tables import FILLER, SIGNATURE
from llmproxy.dialects.sealed_thinking import SEAL_PATTERN, Foreign, SealedThinking, numbered

# The SDK writes many names as Python does.
_NAMES = (SIGNATURE, "thought_signature")
_CALLS = ("functionCall", "function_call")
_PATTERN = re.compile(rb'"thought(?:S|_s)ignature"\s*:\s*"%b' % SEAL_PATTERN)


def leave_out(body: dict[str, Any], foreign: Foreign, model: str) -> list[str]:
    """See `SealedThinking.leave_out`. Thoughts go whole; calls and texts stay, without their signature."""
    dropped: list[str] = []
    contents: list[Any] = []
    for index, content in numbered(body.get("contents")):
        parts = content.get("parts") if isinstance(content, dict) else None
        if not isinstance(parts, list) or content.get("role") != "model":
            contents.append(content)
            continue
        kept = [
            each
            for place, part in enumerate(parts)
            if (each := _accepted(part, foreign, f"contents[{index}].parts[{place}]", dropped)) is not None
        ]
        if family_of(model).signs:
            kept = _signed(kept)
        if kept or not parts:
            contents.append({**content, "parts": kept})
    if dropped:
        body["contents"] = contents
    return dropped


def _accepted(part: Any, foreign: Foreign, path: str, dropped: list[str]) -> Any:
    """Return the part as the model accepts it, None for nothing."""
    name = next((each for each in _NAMES if each in part), None) if isinstance(part, dict) else None
    if name is None or not foreign(part[name]):
        return part
    if part.get("thought") is True:
        dropped.append(path)
        return None
    dropped.append(f"{path}.{name}")
    left = {key: value for key, value in part.items() if key != name}
    return None if left in ({}, {"text": ""}) else left


def _signed(parts: list[Any]) -> list[Any]:
    """Return the parts with the filler in the first call, where that has no signature."""
    calls = (at for at, each in enumerate(parts) if isinstance(each, dict) and any(name in each for name in _CALLS))
    place = next(calls, None)
    if place is None or any(name in parts[place] for name in _NAMES):
        return parts
    return [*parts[:place], {**parts[place], SIGNATURE: FILLER}, *parts[place + 1 :]]


SEALED = SealedThinking(
    mark=b'ignature"',
    marks=(b'ignature"',),
    pattern=_PATTERN,
    leave_out=leave_out,
    result_id=b"id",
)
