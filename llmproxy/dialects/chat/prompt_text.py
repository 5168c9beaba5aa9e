"""The text of a request for a legacy text completion."""

from __future__ import annotations

from llmproxy.wire.json import read_members, read_value


def prompt_text(body: bytes) -> str | None:
    """Return the prompts of a request, a line each; None when it has none that is text."""
    members = read_members(body)
    prompt = read_value(members["prompt"]) if "prompt" in members else None
    prompts = prompt if isinstance(prompt, list) else [prompt]
    texts = [text for text in prompts if isinstance(text, str)]
    return "\n".join(texts) if texts else None
