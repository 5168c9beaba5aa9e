from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

import pytest

from llmproxy.importers.claude_code_router import import_claude_code_router
from tests.importers.sources import imported, is_graded


def source(
    url: str = "https://llm.example.com/v1/chat/completions",
    transformer: object = None,
    router: Mapping[str, str] = MappingProxyType({}),
) -> str:
    provider: dict[str, object] = {"name": "one", "api_base_url": url, "api_key": "$K", "models": ["m"]}
    provider |= {"transformer": transformer} if transformer else {}
    return json.dumps({"Providers": [provider], "Router": dict(router)})


@pytest.mark.parametrize(("text", "ours"), [("$A", "${A}"), ("${B}", "${B}"), ("http://$H-1/", "http://${H}-1/")])
def test_variables_are_translated(text: str, ours: str) -> None:
    config, _ = imported(import_claude_code_router, json.dumps({"Providers": [], "HOST": text}))
    assert config["server"]["host"] == ours


@pytest.mark.parametrize(
    ("url", "transformer", "type_", "base_url"),
    [
        ("https://api.deepseek.com/chat/completions", None, "deepseek", None),
        ("https://api.anthropic.com/v1/messages", None, "anthropic", None),
        ("https://generativelanguage.googleapis.com/v1beta/models/", None, "gemini", None),
        ("https://llm.example.com/v1/chat/completions", None, "openai-compatible", "https://llm.example.com/v1"),
        (
            "https://llm.example.com/v1/messages",
            {"use": ["Anthropic"]},
            "anthropic",
            "https://llm.example.com/v1",
        ),
    ],
)
def test_a_provider_has_the_type_of_its_address(
    url: str, transformer: object, type_: str, base_url: str | None
) -> None:
    config, _ = imported(import_claude_code_router, source(url, transformer))
    (entry,) = config["providers"]
    assert (entry["type"], entry.get("base_url"), entry["api_key"]) == (type_, base_url, "${K}")


def test_situations_are_conditions_of_one_entry_for_all_models() -> None:
    router = {"default": "one,m", "longContext": "one,big", "image": "one,eyes", "background": "one,small"}
    config, _ = imported(import_claude_code_router, source(router=router))
    haiku, everything = config["models"]
    assert haiku == {"name": "*haiku*", "targets": [{"provider": "one", "model": "small"}]}
    assert [(each["model"], each.get("when")) for each in everything["targets"]] == [
        ("eyes", {"has_images": True}),
        ("big", {"min_tokens": 60001}),
        ("m", None),
    ]


@pytest.mark.parametrize("target", ["m", "nowhere,m", "one"])
def test_a_target_without_a_provider_of_the_file_needs_a_hand(target: str) -> None:
    config, grades = imported(import_claude_code_router, source(router={"default": target}))
    assert "models" not in config and grades["Router.default"].grade == "by hand"


@pytest.mark.parametrize("value", ["", 7, True, {}, []])
def test_any_value_has_a_grade_and_stops_nothing(value: object) -> None:
    for key in ("APIKEY", "PORT", "PROXY_URL", "LOG", "LOG_LEVEL", "API_TIMEOUT_MS", "transformers"):
        _, grades = imported(import_claude_code_router, json.dumps({"Providers": [], key: value}))
        assert is_graded(key, grades)
