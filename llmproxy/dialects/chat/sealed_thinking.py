"""Sealed thinking in requests of chat: the signatures that some vendors put beside calls, in `extra_content`.

Source: ai.google.dev/gemini-api/docs/thought-signatures (OpenAI compatibility). Begin reading at `leave_out`.
"""

from __future__ import annotations

import re
from typing import Any

from llmproxy.dialects.chat.tables import SIGNATURE
from llmproxy.dialects.sealed_thinking import SEAL_PATTERN, Foreign, SealedThinking, numbered

_PATTERN = re.compile(rb'"thought_signature"\s*:\s*"%b' % SEAL_PATTERN)


def leave_out(body: dict[str, Any], foreign: Foreign, model: str) -> list[str]:
    """See `SealedThinking.leave_out`."""
    dropped: list[str] = []
    messages: list[Any] = []
    for index, message in numbered(body.get("messages")):
        if isinstance(message, dict) and message.get("role") == "assistant":
            path = f"messages[{index}]"
            message = _accepted(message, foreign, path, dropped)
            calls = message.get("tool_calls")
            if isinstance(calls, list):
                accepted = [
                    _accepted(call, foreign, f"{path}.tool_calls[{place}]", dropped) for place, call in enumerate(calls)
                ]
                message = {**message, "tool_calls": accepted}
        messages.append(message)
    if dropped:
        body["messages"] = messages
    return dropped


def _accepted(node: Any, foreign: Foreign, path: str, dropped: list[str]) -> Any:
    """Return a message or a call without its signature, if that is foreign."""
    if not isinstance(node, dict) or not any(map(foreign, _seals(node.get(SIGNATURE)))):
        return node
    dropped.append(f"{path}.{SIGNATURE}")
    return {name: value for name, value in node.items() if name != SIGNATURE}


def _seals(extra: object) -> list[object]:
    """Return the signatures that stand under the names of vendors."""
    vendors = extra.values() if isinstance(extra, dict) else ()
    return [each["thought_signature"] for each in vendors if isinstance(each, dict) and "thought_signature" in each]


SEALED = SealedThinking(
    mark=b'thought_signature"',
    marks=(b'thought_signature"',),
    pattern=_PATTERN,
    leave_out=leave_out,
    result_id=b"tool_call_id",
)
