from __future__ import annotations

from pathlib import Path

import pytest

from llmproxy.config.components import read_providers
from llmproxy.config.document import from_python
from llmproxy.importers.services import OTHER_SERVICES, host_of, is_usual_address, type_of_url, without_endpoint


@pytest.mark.parametrize(
    ("url", "type_"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://x.openai.azure.com/", "azure"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("http://localhost:11434/v1", "ollama"),
        ("http://localhost:9999/v1", None),
        ("https://llm.example.com", None),
        ("${BASE}", None),
        ("https://[bad", None),
    ],
)
def test_a_service_is_known_by_its_address(url: str, type_: str | None) -> None:
    assert type_of_url(url) == type_


def test_the_usual_address_needs_not_be_written() -> None:
    assert is_usual_address("openai", "https://api.openai.com/v1/") and is_usual_address("groq", "https://api.groq.com")
    assert not is_usual_address("openai", "https://api.openai.com/v2") and not is_usual_address("azure", "https://x")


def test_an_address_ends_before_the_endpoint() -> None:
    assert without_endpoint(" https://h/v1/chat/completions/ ") == "https://h/v1"
    assert without_endpoint("https://h/v1") == "https://h/v1"
    assert host_of("https://h.example:1/x") == "h.example"


@pytest.mark.parametrize("name", OTHER_SERVICES)
def test_services_without_a_type_can_be_configured_by_their_address(name: str) -> None:
    service = OTHER_SERVICES[name]
    entry = {"name": name, "type": service.type, "base_url": service.base_url}
    configs, problems = read_providers(from_python([entry], "x"), Path())
    assert configs and not problems
