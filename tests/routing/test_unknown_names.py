"""Tests of the messages for unknown models and paths; those of the router are in `test_router.py`."""

from __future__ import annotations

import pytest

from llmproxy.routing.unknown_names import unknown_model, unknown_path
from tests.routing.test_router import CLAUDE, GROQ, Named, route

OPENAI = Named("openai", ["gpt-*", "o[0-9]*", "chatgpt-*", "text-embedding-*", "omni-moderation-*", "ft:*"])


def test_the_available_names_begin_with_those_of_the_configuration() -> None:
    error = unknown_model("x", [route("my-*", (GROQ, None)), route("fast", (GROQ, None))], [OPENAI, CLAUDE, GROQ])

    assert error.message == (
        "Unknown model 'x'. To choose the provider, name it: 'openai/x'. Available: fast, my-*, gpt-*, o[0-9]*, "
        "chatgpt-*, text-embedding-*, claude-*, openai/<model>, claude/<model>, groq/<model>, ..."
    )


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        ("gpt4o", "Did you mean a name like 'gpt-*', or 'openai/gpt4o'?"),
        ("GPT-4", "Did you mean a name like 'gpt-*', or 'openai/GPT-4'?"),
        ("claud-opus", "Did you mean a name like 'claude-*', or 'claude/claud-opus'?"),
        ("4o", "To choose the provider, name it: 'openai/4o'."),
    ],
)
def test_the_nearest_pattern_is_named(model: str, hint: str) -> None:
    error = unknown_model(model, [], [OPENAI, CLAUDE])

    assert error.message.startswith(f"Unknown model {model!r}. {hint} Available: gpt-*, ")


def test_without_providers_no_name_is_suggested() -> None:
    assert unknown_model("x", [], []).message == "Unknown model 'x'. Available: none"
    assert unknown_path("GET", "/nothing", []).message == "Not found: GET '/nothing'. See /docs"
