"""Conversations that a client has compacted: the item that asks for it, and the item that stands for what was said.

OpenAI answers `compaction_trigger` by one item `compaction`, whose content only OpenAI can read. For a model that is
called in another dialect the trigger is a question for a summary, and the content of the item is that summary: what
other dialects get of it is a turn of the user. Source: the SDK's `response_compaction_item`; Codex asks so when its
provider is OpenAI, or has its name. Begin reading at `decode_compaction`.
"""

from __future__ import annotations

from base64 import b64decode, urlsafe_b64encode
from typing import Any

from llmproxy.dialects.model import Opaque, Request

TRIGGER = "compaction_trigger"
COMPACTION = "compaction"
COMPACTION_ITEMS = (TRIGGER, COMPACTION)
_OURS = "llmproxy-summary-"
_QUESTION = (
    "The conversation has become too long. Your next message replaces it, and is all that will be known of it. "
    "Write it as notes for whoever goes on: the task, and the wishes of the user word for word where that matters; "
    "what was done and found; files, commands and values that are still needed; decisions and their reasons; what is "
    "open, and the next step. Call no tool."
)
_SUMMARY = "Notes on the conversation so far, which they replace:\n\n"


def decode_compaction(item: dict[str, Any], path: str) -> Opaque:
    """Return one of the two items. What OpenAI made has no words, and cannot go elsewhere."""
    kind = item["type"]
    words = _QUESTION if kind == TRIGGER else _words(item.get("encrypted_content"))
    return Opaque(path=path, dialect="responses", kind=kind, value=item, words=words)


def _words(content: object) -> str | None:
    if not isinstance(content, str) or not content.startswith(_OURS):
        return None
    try:
        summary = b64decode(content.removeprefix(_OURS), altchars=b"-_", validate=True).decode()
    except ValueError:
        return None
    return _SUMMARY + summary if summary else None


def compacts(request: Request) -> bool:
    """Return whether the answer to `request` is to stand for the conversation."""
    content = request.messages[-1].content if request.messages else ()
    return any([isinstance(block, Opaque) and block.kind == TRIGGER for block in content])


def compaction_item(name: str, summary: str) -> dict[str, Any]:
    """Return the output item that stands for the conversation."""
    content = _OURS + urlsafe_b64encode(summary.encode("utf-8", "replace")).decode()
    return {"id": name, "type": COMPACTION, "encrypted_content": content}
