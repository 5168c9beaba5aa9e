"""What can be read out of a chat request, and out of a legacy completions request."""

from __future__ import annotations

from llmproxy.dialects.lenient_json import conversation
from llmproxy.wire.json import read_members, read_value


def read_text(body: bytes) -> str | None:
    """The messages of a chat request, or the prompt of a completions request."""
    members = read_members(body)
    if "messages" in members:
        return "\n".join(conversation(read_value(members["messages"])))
    prompt = read_value(members["prompt"]) if "prompt" in members else None
    prompts = prompt if isinstance(prompt, list) else [prompt]
    texts = [text for text in prompts if isinstance(text, str)]
    return "\n".join(texts) if texts else None
