"""Model groups, the older form of `models`: providers by their params, of the type that the params tell."""

from __future__ import annotations

from pathlib import Path

from llmproxy.config.load import load
from llmproxy.config.schema import Config
from llmproxy.providers.azure import Azure


def configured(directory: Path, text: str, environ: dict[str, str]) -> Config:
    (directory / "llmproxy.yaml").write_text(text, "utf-8")
    return load(directory=directory, environ=environ).checked()


def test_model_groups_are_models_and_providers(tmp_path: Path) -> None:
    text = """
model_groups:
  - model_group: gpt-4
    models:
      - {model: gpt-4o, params: {api_key: os.environ/ONE, base_url: "https://one.example/v1"}}
      - {model: gpt-4, params: {api_key: os.environ/TWO, base_url: "https://one.example/v1"}}
  - model_group: mini
    models:
      - {model: gpt-4o-mini, params: {api_key: os.environ/ONE, base_url: "https://one.example/v1"}}
"""
    config = configured(tmp_path, text, {"ONE": "1", "TWO": "2"})
    assert {model.name: [(t.provider, t.model) for t in model.targets] for model in config.models} == {
        "gpt-4": [("one.example", "gpt-4o"), ("one.example-2", "gpt-4")],
        "mini": [("one.example", "gpt-4o-mini")],
    }
    assert [(provider.name, provider.type, provider.models) for provider in config.providers] == [
        ("one.example", "openai", []),
        ("one.example-2", "openai", []),
    ]


def test_endpoints_of_model_groups_are_azures_by_host_or_version(tmp_path: Path) -> None:
    text = """
model_groups:
  - model_group: gpt-4
    models:
      - {model: one, params: {api_key: a, base_url: "${RESOURCE}"}}
      - {model: two, params: {api_key: b, base_url: "http://gateway.example", api_version: "2024-10-21"}}
      - {model: three, params: {api_key: c, base_url: "https://one.example"}}
"""
    config = configured(tmp_path, text, {"RESOURCE": "https://r.openai.azure.com/openai/v1"})
    assert [(each.name, each.type) for each in config.providers] == [
        ("r.openai.azure.com", "azure"),
        ("gateway.example", "azure"),
        ("one.example", "openai"),
    ]
    assert isinstance(config.providers[1], Azure.Config) and config.providers[1].api_version == "2024-10-21"
