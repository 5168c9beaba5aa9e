"""What fuzzing begins with: the golden conversations, as requests, whole answers and streams of each dialect."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.support.translation_cases import CASES, NAMES

REQUESTS = {name: [case.requests[name] for case in CASES if name in case.requests] for name in NAMES}
REPLIES = {name: [case.replies[name] for case in CASES if name in case.replies] for name in NAMES}
STREAMS = {
    name: [case.streams[name].replace(b"\r\n", b"\n") for case in CASES if name in case.streams] for name in NAMES
}
PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
DIALECT_OF = {"c": "chat", "r": "responses", "m": "messages"}
_MODELS = {
    "c": ("gpt-4o", "qwen3-coder", "openai/gpt-oss-120b", "mistral-large"),
    "r": ("gpt-5", "gpt-4o", "o3", "gpt-5.1"),
    "m": ("claude-sonnet-4-5", "claude-opus-4-8", "claude-3-5-haiku-latest", "claude-x"),
}


_ODD = ("\ud800", "\x00", "\r\n", "\u202e", "x" * 3000, "{", '"', "*", "\U0001f642", " ", "a/b/c", "%0a", "other", "")


def model(rng: Random, provider: str) -> str:
    """Return the name of a model of a provider, most often one that nobody else asks for; now and then an odd one."""
    if rng.random() < 0.04:
        return f"{provider}/{rng.choice(_ODD)}"
    name = f"{provider}/{rng.choice(_MODELS[provider])}"
    return name if rng.random() < 0.2 else f"{name}-{rng.randrange(10**6)}"


def request(rng: Random, dialect: str) -> dict[str, Any]:
    """Return a request of the dialect."""
    return dict(rng.choice(REQUESTS[dialect]))
