from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from llmproxy.providers.openai import OpenAI
from llmproxy.target import Target
from tests.support.exchanges import new_exchange


@pytest.mark.parametrize(
    ("model", "names"),
    [
        ("gpt-4o", True),
        ("gpt-5.5-pro", True),
        ("gpt-image-1", True),
        ("o1", True),
        ("o4-mini", True),
        ("chatgpt-4o-latest", True),
        ("text-embedding-3-small", True),
        ("ft:gpt-4o-mini:org::id", True),
        ("whisper-1", True),
        ("omni-moderation-latest", True),
        ("claude-sonnet-5-5", False),
        ("openai/gpt-4o", False),
        ("olmo", False),
        ("my-gpt-4o", False),
    ],
)
def test_openai_answers_its_models_without_being_named(model: str, names: bool) -> None:
    provider = OpenAI(OpenAI.Config(name="openai", type="openai"))
    assert any(fnmatchcase(model, pattern) for pattern in provider.patterns) is names


def test_openai_gets_its_key_as_a_bearer() -> None:
    provider = OpenAI(OpenAI.Config.model_validate({"name": "openai", "type": "openai", "api_key": "sk"}))
    request = provider.prepare(new_exchange("/v1/responses/resp_1", method="DELETE"), Target(provider=provider))
    assert (request.method, request.origin.host, request.target) == ("DELETE", "api.openai.com", "/v1/responses/resp_1")
    assert request.headers["Authorization"] == "Bearer sk"
    assert provider.speaks == {"chat", "responses", "responses-websocket", "completions", "embeddings", "openai"}


@pytest.mark.parametrize(
    ("base_url", "own"),
    [
        (None, True),
        ("https://api.openai.com", True),
        ("https://api.openai.com/v1", True),
        ("https://API.OpenAI.com:443/v1/", True),
        ("https://api.openai.com./v1", True),
        ("https://eu.api.openai.com/v1", True),
        ("https://notapi.openai.com/v1", False),
        ("https://api.openai.com.example.org/v1", False),
        ("https://gateway.example/api.openai.com/v1", False),
    ],
)
def test_openai_itself_is_asked_in_responses_however_its_address_is_written(base_url: str | None, own: bool) -> None:
    provider = OpenAI(OpenAI.Config.model_validate({"name": "o", "type": "openai", "base_url": base_url}))
    assert provider.translate_to == (("responses", "chat") if own else ())
    chosen = {"name": "o", "type": "openai", "base_url": base_url, "dialects": ["chat"]}
    assert OpenAI(OpenAI.Config.model_validate(chosen)).translate_to == ("chat",)
