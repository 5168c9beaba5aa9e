"""Sealed thinking in requests of messages: signatures, and redacted thinking.

Thinking of earlier turns may be left out. A turn whose tools were called while the model thought begins with its
thinking, or goes on without any (platform.claude.com/docs/en/build-with-claude/extended-thinking). Begin reading at
`leave_out`.
"""

from __future__ import annotations

import re
from typing import Any

from llmproxy.dialects.claude_models import is_claude
from llmproxy.dialects.claude_thinking import without_thinking
from llmproxy.dialects.lenient_json import objects
from llmproxy.dialects.sealed_thinking import (
    SEAL_PATTERN,
    Foreign,
    SealedThinking,
    beginning,
    is_seal,
    without_blocks,
)

_KINDS = ("thinking", "redacted_thinking")
# The vendor and its SDK write the members of redacted thinking in different orders.
_PATTERN = re.compile(
    rb'"signature"\s*:\s*"%b' % SEAL_PATTERN
    + rb'|"redacted_thinking"\s*,\s*"data"\s*:\s*"%b' % SEAL_PATTERN
    + rb'|"data"\s*:\s*"%b[A-Za-z0-9+/=_-]*+"\s*,\s*"type"\s*:\s*"redacted_thinking"' % SEAL_PATTERN
)


def leave_out(body: dict[str, Any], foreign: Foreign, model: str) -> list[str]:
    """See `SealedThinking.leave_out`. Where the turn that goes on has lost its thinking, thinking is turned off."""
    messages, dropped = without_blocks(body.get("messages"), lambda block: _is_refused(block, foreign, model))
    if dropped:
        body["messages"] = messages
    if _thinks(body) and _goes_on_without(messages):
        changed = _with_other_edits(without_thinking(body, model))
        body.clear()
        body.update(changed)
        dropped.append("thinking")
    return dropped


def _is_refused(block: object, foreign: Foreign, model: str) -> bool:
    if not isinstance(block, dict) or block.get("type") not in _KINDS:
        return False
    seal = block.get("data" if block["type"] == "redacted_thinking" else "signature")
    if not is_seal(beginning(seal)):  # translation wrote it, or a service that signs nothing
        return is_claude(model)
    return foreign(seal)


def _thinks(body: dict[str, Any]) -> bool:
    thinking = body.get("thinking")
    return isinstance(thinking, dict) and thinking.get("type") != "disabled"


def _goes_on_without(messages: list[Any]) -> bool:
    """Return whether the last turn of the assistant called tools, and does not begin with thinking."""
    turns = [each for each in objects(messages) if each.get("role") == "assistant"]
    blocks = objects(turns[-1].get("content")) if turns else []
    called = any(block.get("type") == "tool_use" for block in blocks)
    return called and blocks[0].get("type") not in _KINDS


def _with_other_edits(body: dict[str, Any]) -> dict[str, Any]:
    """Return the request without the edits of the context that are about thinking, which are refused without it."""
    management = body.get("context_management")
    if not isinstance(management, dict) or not isinstance(management.get("edits"), list):
        return body
    edits = management["edits"]
    kept = [each for each in edits if not str(isinstance(each, dict) and each.get("type")).startswith("clear_thinking")]
    if kept:
        return {**body, "context_management": {**management, "edits": kept}}
    return {name: value for name, value in body.items() if name != "context_management"}


SEALED = SealedThinking(
    mark=b'thinking"',
    marks=(b'signature"', b'redacted_thinking"'),
    pattern=_PATTERN,
    leave_out=leave_out,
    result_id=b"tool_use_id",
)
