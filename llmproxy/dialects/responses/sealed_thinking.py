"""Sealed thinking in requests of the Responses API: items of reasoning, encrypted or kept by the vendor.

Begin reading at `leave_out`.
"""

from __future__ import annotations

import re
from typing import Any

from llmproxy.dialects.sealed_thinking import SEAL_PATTERN, Foreign, SealedThinking, beginning, is_seal, numbered
from llmproxy.errors import Untranslatable

_COMPACTION = "compaction"
_PATTERN = re.compile(rb'"encrypted_content"\s*:\s*"%b|"id"\s*:\s*"(rs_[A-Za-z0-9+/_-]{1,197})' % SEAL_PATTERN)


def leave_out(body: dict[str, Any], foreign: Foreign, model: str) -> list[str]:
    """See `SealedThinking.leave_out`. What stood behind an item that goes loses its id: by that the vendor looks up the
    reasoning that belongs to it. Raises Untranslatable for a foreign compaction, which stands for all that was said."""
    dropped: list[str] = []
    items: list[Any] = []
    behind = False
    for index, item in numbered(body.get("input")):
        kind = item.get("type") if isinstance(item, dict) else None
        path = f"input[{index}]"
        if kind == "reasoning" and foreign(_seal(item)):
            dropped.append(path)
            behind = True
            continue
        if kind == _COMPACTION and foreign(item.get("encrypted_content")):
            raise Untranslatable(f"{path}: Only the provider that compacted this conversation can read it", param=path)
        behind = behind and _is_output(item)
        items.append({name: value for name, value in item.items() if name != "id"} if behind else item)
    if dropped:
        body["input"] = items
    return dropped


def _seal(item: dict[str, Any]) -> object:
    content = item.get("encrypted_content")
    return content if is_seal(beginning(content)) else item.get("id")


def _is_output(item: object) -> bool:
    """Return whether a model wrote the item."""
    if not isinstance(item, dict):
        return False
    kind = item.get("type", "message")
    return item.get("role") == "assistant" if kind == "message" else str(kind).endswith("_call")


SEALED = SealedThinking(
    mark=b'"reasoning"',
    marks=(b'encrypted_content"', b'"rs_'),
    pattern=_PATTERN,
    leave_out=leave_out,
    result_id=b"call_id",
)
