"""What OpenAI's models accept, by their names."""

from __future__ import annotations

import pytest

from llmproxy.dialects.openai_models import EffortRows, openai_model, served_model

LOW, TO_X = ("low", "medium", "high"), ("low", "medium", "high", "xhigh")


@pytest.mark.parametrize(
    ("name", "efforts", "samples"),
    [
        ("gpt-4o", (), "always"),
        ("gpt-4o-search-preview", (), "never"),
        ("openai/gpt-4.1-mini", (), "always"),
        ("ft:gpt-4o-2024-08-06:acme", (), "always"),
        ("gpt-5-chat-latest", (), "always"),
        ("gpt-5.2-chat-latest", ("medium",), "never"),
        ("gpt-5.1-chat", ("medium",), "never"),
        ("gpt-35-turbo", (), "always"),
        ("gpt-5", ("minimal", *LOW), "never"),
        ("gpt-5-mini-2025-08-07", ("minimal", *LOW), "never"),
        ("gpt-5-codex", LOW, "never"),
        ("gpt-5.1-codex-max", TO_X, "never"),
        ("gpt-5-pro", ("high",), "never"),
        ("gpt-5.4-pro-2026-03-05", ("medium", "high", "xhigh"), "never"),
        ("gpt-5.1-2025-11-13", ("none", *LOW), "default"),
        ("gpt-5.4-mini", ("none", *TO_X), "default"),
        ("gpt-5.6-sol", ("none", *TO_X), "none"),
        ("gpt-6-astra", (*TO_X, "max"), "never"),
        ("gpt-6-luna", ("none", *TO_X, "max"), "none"),
        ("o3-mini", LOW, "never"),
        ("o1-mini", (), "never"),
        ("openai/gpt-oss-120b", LOW, "always"),
    ],
)
def test_models_are_known_by_their_names(name: str, efforts: tuple[str, ...], samples: str) -> None:
    model = openai_model(name)
    assert model is not None and model[:2] == (efforts, samples)


@pytest.mark.parametrize("name", ["claude-opus-5", "llama3", "piano1", "m", "my-gpt-4o"])
def test_others_are_unknown(name: str) -> None:
    assert openai_model(name) is None


def test_a_service_knows_its_own_efforts() -> None:
    rows: EffortRows = (("qwen", ("none",)),)
    served = served_model("qwen3-32b", rows)
    assert served is not None and served.efforts == ("none",)
    assert served_model("gpt-5", rows) is openai_model("gpt-5")
