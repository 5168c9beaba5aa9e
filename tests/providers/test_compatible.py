from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from llmproxy.providers.compatible import Compatible
from llmproxy.registry import BUILTIN
from llmproxy.target import Target
from tests.support.exchanges import new_exchange


def compatible(type_: str, **keys: Any) -> Compatible:
    return Compatible(Compatible.Config.model_validate({"name": "c", "type": type_, **keys}))


def url(provider: Compatible, path: str, prefix: str = "") -> str:
    request = provider.prepare(new_exchange(path, prefix=prefix), Target(provider=provider))
    return f"{request.origin.scheme}://{request.origin.authority}{request.target}"


@pytest.mark.parametrize(
    ("type_", "chat"),
    [
        ("ollama", "http://localhost:11434/v1/chat/completions"),
        ("lmstudio", "http://localhost:1234/v1/chat/completions"),
        ("localai", "http://localhost:8080/v1/chat/completions"),
        ("llamacpp", "http://localhost:8080/v1/chat/completions"),
        ("vllm", "http://localhost:8000/v1/chat/completions"),
        ("groq", "https://api.groq.com/openai/v1/chat/completions"),
        ("mistral", "https://api.mistral.ai/v1/chat/completions"),
        ("deepseek", "https://api.deepseek.com/v1/chat/completions"),
        ("together", "https://api.together.ai/v1/chat/completions"),
        ("fireworks", "https://api.fireworks.ai/inference/v1/chat/completions"),
        ("openrouter", "https://openrouter.ai/api/v1/chat/completions"),
        ("xai", "https://api.x.ai/v1/chat/completions"),
        ("cerebras", "https://api.cerebras.ai/v1/chat/completions"),
        ("perplexity", "https://api.perplexity.ai/chat/completions"),
    ],
)
def test_each_service_is_called_where_it_is(type_: str, chat: str) -> None:
    provider = compatible(type_, api_key="sk")
    assert url(provider, "/v1/chat/completions") == url(provider, "/chat/completions") == chat
    assert url(provider, "/v1/chat/completions", prefix=f"/{type_}") == chat
    request = provider.prepare(new_exchange(), Target(provider=provider))
    assert request.headers["Authorization"] == "Bearer sk"
    assert "chat" in provider.speaks and provider.patterns == () and provider.sole_catch_all


def test_every_service_is_in_the_list_of_types() -> None:
    listed = {type_ for type_, place in BUILTIN["providers"].builtin.items() if place.endswith("compatible:Compatible")}
    assert listed == set(Compatible.Config.services)


@pytest.mark.parametrize(
    ("type_", "path", "target"),
    [
        ("groq", "/openai/v1/models", "https://api.groq.com/openai/v1/models"),
        ("openrouter", "/api/v1/credits", "https://openrouter.ai/api/v1/credits"),
        ("fireworks", "/inference/v1/models", "https://api.fireworks.ai/inference/v1/models"),
        ("deepseek", "/beta/completions", "https://api.deepseek.com/beta/completions"),
        ("ollama", "/api/tags", "http://localhost:11434/api/tags"),
        ("lmstudio", "/api/v0/models", "http://localhost:1234/api/v0/models"),
        ("vllm", "/tokenize", "http://localhost:8000/tokenize"),
    ],
)
def test_a_services_other_paths_are_reached_below_its_prefix(type_: str, path: str, target: str) -> None:
    assert url(compatible(type_), path, prefix=f"/{type_}") == target


def test_capabilities_with_another_root_go_there() -> None:
    assert url(compatible("deepseek"), "/v1/messages") == "https://api.deepseek.com/anthropic/v1/messages"
    assert url(compatible("perplexity"), "/v1/responses") == "https://api.perplexity.ai/v1/responses"
    assert url(compatible("openrouter", base_url="https://openrouter.ai/api"), "/v1/messages") == (
        "https://openrouter.ai/api/v1/messages"
    )


def test_dialects_say_what_a_server_speaks() -> None:
    wide = compatible("openai-compatible", base_url="http://h", dialects=["chat", "responses", "messages"])
    assert wide.speaks == {"chat", "responses", "messages"}
    assert compatible("ollama", dialects=["chat"]).speaks == {"chat"}
    with pytest.raises(ValidationError, match="messages"):
        compatible("ollama", dialects=["claude"])


def test_the_open_type_needs_an_address() -> None:
    with pytest.raises(ValidationError, match="base_url"):
        compatible("openai-compatible")
    assert url(compatible("openai-compatible", base_url="http://h:1"), "/v1/embeddings") == "http://h:1/v1/embeddings"


@pytest.mark.parametrize(
    ("type_", "knobs", "thinking"),
    [
        ("groq", ["service_tier", "user"], []),
        ("cerebras", ["service_tier", "user"], ["reasoning"]),
        ("mistral", ["metadata", "prompt_cache_key", "service_tier"], []),
        ("deepseek", ["service_tier", "user"], ["reasoning", "reasoning_content"]),
        ("openai-compatible", ["service_tier", "user"], ["reasoning", "reasoning_content"]),
    ],
)
def test_a_service_gets_the_members_that_it_accepts(type_: str, knobs: list[str], thinking: list[str]) -> None:
    options = Compatible.Config.services[type_].options
    assert sorted(options.chat_knobs or ()) == knobs
    assert sorted(options.chat_thinking) == thinking


def test_a_router_gets_all_members_as_it_leaves_out_what_a_model_lacks() -> None:
    assert Compatible.Config.services["openrouter"].options.chat_knobs is None
