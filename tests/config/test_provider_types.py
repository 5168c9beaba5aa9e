"""Facts about types of providers are there for those that are called over HTTP alone."""

from __future__ import annotations

from llmproxy.config.provider_types import service_of, type_with_model


def test_each_built_in_type_that_is_called_over_http_has_a_row() -> None:
    assert (service := service_of("azure")) is not None and service.key_env == "AZURE_OPENAI_API_KEY"
    assert service_of("groq") != service_of("mistral")
    assert service_of("stub") is None and service_of("path/file.py:Own") is None


def test_the_name_of_a_model_stands_for_the_type_that_has_it() -> None:
    assert (type_with_model("claude"), type_with_model("GPT"), type_with_model("nobody")) == (
        "anthropic",
        "openai",
        None,
    )
