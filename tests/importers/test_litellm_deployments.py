from __future__ import annotations

import pytest

from llmproxy.importers.litellm import import_litellm
from tests.importers.sources import imported


def deployment(params: str, name: str = "m") -> str:
    return f"model_list: [{{model_name: '{name}', litellm_params: {{{params}}}}}]\n"


@pytest.mark.parametrize(
    ("params", "provider", "model"),
    [
        ("model: gpt-4o", {"type": "openai", "api_key": "${OPENAI_API_KEY}"}, "gpt-4o"),
        ("model: gemini/g, api_key: os.environ/K", {"type": "gemini", "api_key": "${K}"}, "g"),
        ("model: bedrock/invoke/us-west-2/anthropic.c", {"type": "bedrock"}, "anthropic.c"),
        ("model: ollama_chat/llama3, api_base: 'http://h:1'", {"type": "ollama", "base_url": "http://h:1"}, "llama3"),
        (
            "model: x, custom_llm_provider: hosted_vllm, api_base: 'http://v'",
            {"type": "vllm", "base_url": "http://v"},
            "x",
        ),
        (
            "model: moonshot/kimi",
            {
                "type": "openai-compatible",
                "base_url": "https://api.moonshot.ai/v1",
                "api_key": "${MOONSHOT_API_KEY}",
            },
            "kimi",
        ),
        (
            "model: openai/x, api_base: 'http://h/v1/chat/completions'",
            {"type": "openai-compatible", "base_url": "http://h/v1"},
            "x",
        ),
        (
            "model: openai/x, api_base: 'https://api.groq.com/openai/v1'",
            {"type": "groq", "base_url": "https://api.groq.com/openai/v1"},
            "x",
        ),
    ],
)
def test_the_service_of_a_model_is_its_provider(params: str, provider: dict[str, str], model: str) -> None:
    config, grades = imported(import_litellm, deployment(params))
    (entry,) = config["providers"]
    assert {key: value for key, value in entry.items() if key not in ("name", "models")} == provider
    assert config["models"] == [{"name": "m", "targets": [{"provider": entry["name"], "model": model}]}]
    assert not [each for each in grades.values() if each.grade in ("by hand", "unsupported")]


def test_deployments_with_the_same_address_and_key_share_a_provider() -> None:
    text = "model_list:\n" + "".join(
        f"  - {{model_name: {name}, litellm_params: {{model: openai/{name}, api_key: os.environ/{key}}}}}\n"
        for name, key in (("a", "K"), ("b", "K"), ("c", "L"))
    )
    config, _ = imported(import_litellm, text)
    assert [each["name"] for each in config["providers"]] == ["openai", "openai-2"]


@pytest.mark.parametrize(
    ("name", "model", "models"),
    [
        ("anthropic/*", "anthropic/*", None),
        ("gpt-*", "openai/*", [{"name": "gpt-*", "targets": [{"provider": "openai"}]}]),
        ("*", "openai/*", [{"name": "*", "targets": [{"provider": "openai"}]}]),
    ],
)
def test_wildcards_reach_their_provider(name: str, model: str, models: object) -> None:
    config, grades = imported(import_litellm, deployment(f"model: '{model}'", name))
    assert config.get("models") == models
    assert grades["model_list[0].model_name"].grade == "exact"


def test_a_wildcard_with_another_name_needs_a_hand() -> None:
    config, grades = imported(import_litellm, deployment("model: 'openai/gpt-*'", "mine-*"))
    assert "models" not in config
    assert grades["model_list[0].model_name"].grade == "by hand"


def test_what_other_types_of_providers_lack_needs_a_hand() -> None:
    _, grades = imported(import_litellm, deployment("model: openai/x, aws_region_name: eu-west-1, tenant_id: t"))
    assert grades["model_list[0].litellm_params.aws_region_name"].message == "providers of type openai have no such key"
    assert "entra" in grades["model_list[0].litellm_params.tenant_id"].message


@pytest.mark.parametrize("entry", ["{model_name: a}", "{litellm_params: {model: openai/x}}", "x"])
def test_a_deployment_without_name_or_model_is_left_out(entry: str) -> None:
    config, grades = imported(import_litellm, f"model_list: [{entry}]\n")
    assert config == {} and grades["model_list[0]"].grade == "unsupported"


def test_limits_and_times_that_are_no_numbers_need_a_hand() -> None:
    config, grades = imported(import_litellm, deployment("model: openai/x, rpm: many, timeout: soon, order: 1"))
    assert config["models"][0]["targets"] == [{"provider": "openai", "model": "x"}]
    assert {each.grade for key, each in grades.items() if key.endswith(("rpm", "timeout"))} == {"by hand"}


def test_an_address_that_is_nowhere_is_a_variable() -> None:
    config, _ = imported(import_litellm, deployment("model: azure/x"))
    assert config["providers"][0]["base_url"] == "${AZURE_API_BASE}"


def test_a_deployment_without_a_name_for_its_model_needs_a_hand() -> None:
    config, grades = imported(import_litellm, deployment("model: azure/"))
    assert config["models"][0]["targets"] == [{"provider": "azure"}]
    assert grades["model_list[0].model_name"].grade == "by hand"
