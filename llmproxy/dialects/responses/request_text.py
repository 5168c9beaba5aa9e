"""What can be read out of a responses request."""

from __future__ import annotations

from llmproxy.dialects.lenient_json import conversation, string
from llmproxy.wire.json import read_members, read_value


def read_text(body: bytes) -> str | None:
    """The instructions and the messages of the input, a line each."""
    members = read_members(body)
    if "input" not in members and "instructions" not in members:
        return None
    instructions = string(read_value(members["instructions"])) if "instructions" in members else None
    lines = [f"system: {instructions}"] if instructions else []
    given = read_value(members["input"]) if "input" in members else None
    if isinstance(given, str):
        lines.append(f"user: {given}")
    items = [item for item in given if isinstance(item, dict)] if isinstance(given, list) else []
    outputs = [{"role": "tool", "content": item["output"]} if "output" in item else item for item in items]
    return "\n".join(lines + conversation([item for item in outputs if "role" in item]))
