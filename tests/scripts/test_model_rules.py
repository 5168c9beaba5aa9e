"""Our tables of models beside a public one."""

from __future__ import annotations

from typing import Any

from scripts.model_rules import unexplained


def public(provider: str, **members: Any) -> dict[str, Any]:
    return {"litellm_provider": provider, "mode": "chat", **members}


def test_a_difference_is_printed_with_both_values() -> None:
    table = {"claude-opus-5-5": public("anthropic", thinking_always_on=False)}
    assert unexplained(table) == ["claude-opus-5-5: thinking_always_on is False there and True here"]
    table = {"gpt-5": public("openai", supports_none_reasoning_effort=True)}
    assert unexplained(table) == ["gpt-5: supports_none_reasoning_effort is True there and False here"]


def test_what_agrees_is_silent_and_what_is_unknown_there_is_no_difference() -> None:
    table = {
        "claude-opus-5-5": public("anthropic", thinking_always_on=True, supports_forced_tool_use=False),
        "claude-opus-4-6": public("anthropic", supports_max_reasoning_effort=True, max_output_tokens=128000),
        "gpt-5.1": public("openai", supports_none_reasoning_effort=True, supports_minimal_reasoning_effort=False),
        "gpt-image-9": {"litellm_provider": "openai", "mode": "image_generation"},
        "sample_spec": "text",
    }
    assert unexplained(table) == []


def test_a_difference_that_is_explained_is_silent() -> None:
    table = {"claude-sonnet-5-5": public("anthropic", supports_max_reasoning_effort=True)}
    assert unexplained(table) == []
