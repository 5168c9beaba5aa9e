"""Facts about types of providers are there for those that are called over HTTP alone."""

from __future__ import annotations

import pytest

from llmproxy.config.provider_types import service_of, type_meant_by


def test_each_built_in_type_that_is_called_over_http_has_a_row() -> None:
    assert (service := service_of("azure")) is not None and service.key_env == "AZURE_OPENAI_API_KEY"
    assert service_of("groq") != service_of("mistral")
    assert service_of("stub") is None and service_of("path/file.py:Own") is None


@pytest.mark.parametrize(
    ("word", "type_"),
    [
        ("claude", "anthropic"),
        ("GPT", "openai"),
        ("google", "gemini"),
        ("aws", "bedrock"),
        ("azure-openai", "azure"),
        ("grok", "xai"),
        ("nobody", None),
    ],
)
def test_the_name_of_a_vendor_or_model_stands_for_the_type(word: str, type_: str | None) -> None:
    assert type_meant_by(word) == type_
