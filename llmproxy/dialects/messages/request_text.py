"""What can be read out of a messages request."""

from __future__ import annotations

from llmproxy.dialects.lenient_json import content_text, conversation
from llmproxy.wire.json import read_members, read_value


def read_text(body: bytes) -> str | None:
    """The system prompt and the messages, a line each."""
    members = read_members(body)
    if "messages" not in members:
        return None
    system = content_text(read_value(members["system"])) if "system" in members else ""
    lines = [f"system: {system}"] if system else []
    return "\n".join(lines + conversation(read_value(members["messages"])))
