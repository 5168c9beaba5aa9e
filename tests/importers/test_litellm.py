from __future__ import annotations

from llmproxy.importers.litellm import import_litellm
from tests.importers.sources import imported

TWO = """
model_list:
  - {model_name: a, litellm_params: {model: openai/x}}
  - {model_name: b, litellm_params: {model: anthropic/y}}
"""


def test_variables_are_translated_and_other_text_means_itself() -> None:
    text = "model_list: [{model_name: a, litellm_params: {model: openai/x, api_key: os.environ/K, user: 'a ${B}'}}]\n"
    config, _ = imported(import_litellm, text)
    assert config["providers"][0]["api_key"] == "${K}"
    assert config["models"][0]["targets"][0]["extra_body"] == {"user": "a $${B}"}


def test_fallbacks_are_targets_that_wait() -> None:
    config, grades = imported(
        import_litellm, TWO + "router_settings: {fallbacks: [{a: [b]}], default_fallbacks: [b]}\n"
    )
    first, second = config["models"]
    assert [each.get("weight") for each in first["targets"]] == [None, 0] and len(second["targets"]) == 1
    assert config["routing"]["strategy"] == "weighted"
    assert grades["router_settings.fallbacks[0].a"].grade == "approximate"


def test_what_names_no_model_of_the_file_needs_a_hand() -> None:
    text = TWO + "router_settings: {fallbacks: [{a: [nowhere]}], model_group_alias: {c: nowhere, d: {model: a}}}\n"
    config, grades = imported(import_litellm, text)
    assert grades["router_settings.fallbacks[0].a"].message == "'nowhere' is not a model of this file"
    assert grades["router_settings.model_group_alias.c"].grade == "by hand"
    assert config["models"][0]["aliases"] == ["d"]


def test_weights_are_those_of_the_shuffle() -> None:
    text = """
model_list:
  - {model_name: a, litellm_params: {model: openai/x, weight: 0.5, rpm: 7}}
  - {model_name: a, litellm_params: {model: openai/y, weight: 2}}
  - {model_name: b, litellm_params: {model: openai/x, tpm: 300}}
  - {model_name: b, litellm_params: {model: openai/y, tpm: 100}}
  - {model_name: c, litellm_params: {model: openai/x, rpm: 3}}
"""
    config, _ = imported(import_litellm, text)
    weights = [[each.get("weight") for each in model["targets"]] for model in config["models"]]
    assert weights == [[500, 2000], [300, 100], [None]]


def test_settings_of_the_router_win_over_those_of_the_module() -> None:
    config, _ = imported(
        import_litellm, TWO + "router_settings: {num_retries: 1}\nlitellm_settings: {num_retries: 5}\n"
    )
    assert config["routing"]["retries"] == 1
