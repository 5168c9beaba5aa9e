"""Sealed thinking in requests of Converse: signed reasoning text, and redacted content. See the one of messages.

Begin reading at `leave_out`.
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

_FIELDS = "additionalModelRequestFields"
_REASONING = "reasoningContent"
_PATTERN = re.compile(rb'"(?:signature|redactedContent)"\s*:\s*"%b' % SEAL_PATTERN)


def leave_out(body: dict[str, Any], foreign: Foreign, model: str) -> list[str]:
    """See `SealedThinking.leave_out`. Where the turn that goes on has lost its thinking, thinking is turned off."""
    messages, dropped = without_blocks(body.get("messages"), lambda block: _is_refused(block, foreign, model))
    if dropped:
        body["messages"] = _alternating(messages)
    fields = body.get(_FIELDS)
    thinking = fields.get("thinking") if isinstance(fields, dict) else None
    if isinstance(thinking, dict) and thinking.get("type") != "disabled" and _goes_on_without(messages):
        body[_FIELDS] = without_thinking(body[_FIELDS], model)
        if not body[_FIELDS]:
            del body[_FIELDS]
        dropped.append(f"{_FIELDS}.thinking")
    return dropped


def _is_refused(block: object, foreign: Foreign, model: str) -> bool:
    reasoning = block.get(_REASONING) if isinstance(block, dict) else None
    if not isinstance(reasoning, dict):
        return False
    text = reasoning.get("reasoningText")
    seal = text.get("signature") if isinstance(text, dict) else reasoning.get("redactedContent")
    if not is_seal(beginning(seal)):
        return is_claude(model)
    return foreign(seal)


def _alternating(messages: list[Any]) -> list[Any]:
    """Return the messages, those of one role in a row joined: the vendor refuses them."""
    joined: list[Any] = []
    for message in messages:
        before = joined[-1] if joined else None
        if isinstance(before, dict) and isinstance(message, dict) and before.get("role") == message.get("role"):
            joined[-1] = {**before, "content": [*objects(before.get("content")), *objects(message.get("content"))]}
        else:
            joined.append(message)
    return joined


def _goes_on_without(messages: list[Any]) -> bool:
    turns = [each for each in objects(messages) if each.get("role") == "assistant"]
    blocks = objects(turns[-1].get("content")) if turns else []
    return any("toolUse" in block for block in blocks) and _REASONING not in blocks[0]


SEALED = SealedThinking(
    mark=b'"reasoningContent"',
    marks=(b'signature"', b'redactedContent"'),
    pattern=_PATTERN,
    leave_out=leave_out,
    result_id=b"toolUseId",
)
