from __future__ import annotations

import json
from typing import Any

import pytest

from llmproxy.importers.portkey import import_portkey
from tests.importers.sources import imported, is_graded


def target(name: str, **more: Any) -> dict[str, Any]:
    return {"provider": "openai", "override_params": {"model": name}, **more}


def weights(config: dict[str, Any]) -> tuple[str, list[tuple[str, int | None]]]:
    text = json.dumps(config)
    outcome, _ = imported(import_portkey, text)
    (model,) = outcome["models"]
    return model["strategy"], [(each["model"], each.get("weight")) for each in model["targets"]]


def test_a_single_provider_answers_every_model() -> None:
    config, _ = imported(import_portkey, '{"provider": "groq", "api_key": "x", "retry": {"attempts": 5}}')
    assert config["providers"] == [{"name": "groq", "type": "groq", "api_key": "x"}]
    assert config["models"] == [{"name": "*", "targets": [{"provider": "groq"}], "retries": 5}]


def test_fallback_and_loadbalance_have_their_strategies() -> None:
    a, b = target("a", weight=0.25), target("b", weight=0.75)
    assert weights({"strategy": {"mode": "fallback"}, "targets": [a, b]}) == ("priority", [("a", None), ("b", None)])
    assert weights({"strategy": {"mode": "loadbalance"}, "targets": [a, b]}) == ("weighted", [("a", 250), ("b", 750)])


def test_nested_targets_keep_their_meaning_by_weight() -> None:
    pair = {"strategy": {"mode": "loadbalance"}, "targets": [target("a", weight=1), target("b", weight=3)]}
    spare = {"strategy": {"mode": "fallback"}, "targets": [target("c"), target("d")]}
    nested = {"strategy": {"mode": "fallback"}, "targets": [pair, target("e")]}
    assert weights(nested) == ("weighted", [("a", 1), ("b", 3), ("e", 0)])
    balanced = {"strategy": {"mode": "loadbalance"}, "targets": [{**spare, "weight": 2}, target("e", weight=1)]}
    assert weights(balanced) == ("weighted", [("c", 2), ("d", 0), ("e", 1)])


def test_a_virtual_key_stands_for_a_variable_by_hand() -> None:
    config, grades = imported(import_portkey, '{"virtual_key": "my-mistral-ai-key", "retry": {"attempts": 1}}')
    (entry,) = config["providers"]
    assert entry == {"name": "my-mistral-ai-key", "type": "mistral", "api_key": "${MY_MISTRAL_AI_KEY_API_KEY}"}
    assert grades["virtual_key"].grade == "by hand"


@pytest.mark.parametrize("value", ["", 7, {}, [], [{}], {"mode": "odd"}, {"mode": "conditional"}])
def test_any_value_has_a_grade_and_stops_nothing(value: object) -> None:
    for key in ("strategy", "targets", "provider", "virtual_key", "override_params", "retry", "cache"):
        _, grades = imported(import_portkey, json.dumps({"provider": "openai", key: value}))
        assert is_graded(key, grades)


def test_keys_may_be_in_camel_case() -> None:
    snake = {
        "strategy": {"mode": "fallback", "on_status_codes": [500]},
        "targets": [
            {"virtual_key": "groq-1", "override_params": {"maxTokens": 5}, "retry": {"on_status_codes": [429]}}
        ],
    }
    text = json.dumps(snake)
    camel = text.replace("on_status", "onStatus").replace("s_codes", "sCodes").replace("_key", "Key")
    camel = camel.replace("onStatus_codes", "onStatusCodes").replace("_params", "Params")
    assert "_" not in camel
    config, grades = imported(import_portkey, camel)
    assert config == imported(import_portkey, text)[0]
    assert grades["targets[0].overrideParams.maxTokens"].grade == "exact"


def test_retries_and_caches_of_targets_are_those_of_the_model() -> None:
    text = json.dumps({"targets": [target("a", retry={"attempts": 4}, cache={"mode": "simple"})], "strategy": {}})
    config, _ = imported(import_portkey, text)
    assert config["models"][0]["retries"] == 4
    assert config["middlewares"] == [{"type": "cache", "config": {"when": "always"}}]
