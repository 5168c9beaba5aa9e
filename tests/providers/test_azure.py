"""Azure's addresses, credentials and versions, without a server."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest
from pydantic import ValidationError

from llmproxy.errors import BadRequest
from llmproxy.providers.azure import Azure
from llmproxy.target import Target
from tests.support import vendors
from tests.support.exchanges import new_exchange
from tests.support.provider import Reply, Upstream

RESOURCE = "https://r.openai.azure.com"


def azure(base_url: object = RESOURCE, **keys: object) -> Azure:
    return Azure(Azure.Config.model_validate({"name": "azure", "type": "azure", "base_url": base_url, **keys}))


def sent(provider: Azure, path: str, *, query: str | None = None, model: str = "d") -> str:
    exchange = new_exchange(path, query=query, body={"model": model})
    return provider.prepare(exchange, Target(provider=provider)).target


@pytest.mark.parametrize(
    ("base_url", "path", "query", "target"),
    [
        (RESOURCE, "/v1/chat/completions", None, "/openai/v1/chat/completions"),
        (f"{RESOURCE}/openai", "/chat/completions", "a=1", "/openai/v1/chat/completions?a=1"),
        (f"{RESOURCE}/openai/v1/", "/v1/responses", "api-version=x", "/openai/v1/responses"),
        (RESOURCE, "/v1/messages", "beta=true", "/anthropic/v1/messages?beta=true"),
        (RESOURCE, "/openai/deployments/d/images/generations", "api-version=x", "/openai/v1/images/generations"),
        (RESOURCE, "/openai/deployments/d/extensions/chat", "api-version=x", None),
    ],
)
def test_without_a_version(base_url: str, path: str, query: str | None, target: str | None) -> None:
    assert sent(azure(base_url), path, query=query) == (target or f"{path}?{query}")


@pytest.mark.parametrize(
    ("base_url", "path", "query", "target"),
    [
        (RESOURCE, "/v1/chat/completions", None, "/openai/deployments/d/chat/completions?api-version=V"),
        (RESOURCE, "/v1/embeddings", "a=1", "/openai/deployments/d/embeddings?a=1&api-version=V"),
        (f"{RESOURCE}/openai", "/v1/responses", None, "/openai/responses?api-version=V"),
        (RESOURCE, "/v1/messages", None, "/anthropic/v1/messages"),
        (RESOURCE, "/v1/files", "api-version=own", "/openai/files?api-version=own"),
    ],
)
def test_with_a_version(base_url: str, path: str, query: str | None, target: str) -> None:
    assert sent(azure(base_url, api_version="V"), path, query=query) == target


@pytest.mark.parametrize(
    ("version", "serves"),
    [("2024-10-21", False), ("2025-02-01-preview", False), ("2025-03-01-preview", True), ("preview", True)],
)
def test_responses_are_called_from_the_version_on_that_has_them(version: str, serves: bool) -> None:
    provider = azure(api_version=version)
    assert ("responses" in provider.speaks_for("gpt-4o")) is ("responses" in provider.speaks) is serves
    named = azure(api_version=version, dialects=["responses"])
    assert named.speaks_for("gpt-4o") == {"responses"}


@pytest.mark.parametrize("below", ["/openai/deployments/mine", "/openai/deployments/mine/?api-version=V"])
@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/v1/chat/completions", "/openai/deployments/mine/chat/completions?api-version=V"),
        ("/v1/responses", "/openai/responses?api-version=V"),
        ("/v1/messages", "/anthropic/v1/messages"),
    ],
)
def test_the_address_of_a_deployment_is_that_of_the_portal(below: str, path: str, target: str) -> None:
    version = {} if "?" in below else {"api_version": "V"}
    assert sent(azure(RESOURCE + below, **version), path, model="gpt-4o") == target


def test_a_version_of_the_api_without_deployments_stays_in_the_address() -> None:
    provider = azure(f"{RESOURCE}/openai/v1?api-version=preview")
    assert sent(provider, "/v1/responses") == "/openai/v1/responses?api-version=preview"


def test_a_deployment_without_a_version_is_refused() -> None:
    with pytest.raises(ValidationError, match="needs `api_version`"):
        azure(f"{RESOURCE}/openai/deployments/mine")


def test_models_decide_what_it_speaks() -> None:
    provider = azure()
    assert provider.speaks_for("claude-sonnet-5-5") == {"messages"}
    assert "chat" in provider.speaks_for("gpt-5.5") and "messages" not in provider.speaks_for("my-deployment")
    assert azure(dialects=["messages"]).speaks_for("my-claude") == {"messages"}


def test_one_credential_is_enough() -> None:
    with pytest.raises(ValidationError, match="several credentials: api_key, entra"):
        azure(api_key="k", entra=True)


@pytest.mark.parametrize(
    ("keys", "scope"),
    [
        ({}, "https://cognitiveservices.azure.com/.default"),
        ({"base_url": "https://r.services.ai.azure.com"}, "https://ai.azure.com/.default"),
        ({"scope": "api://mine/.default"}, "api://mine/.default"),
    ],
)
async def test_tokens_are_asked_for_the_scope_of_the_address_or_the_configured_one(
    keys: dict[str, str], scope: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Upstream(Reply(headers=vendors.JSON, pieces=[b'{"access_token": "eyJ", "expires_in": 3599}'])) as entra:
        for name, value in {"TENANT_ID": "t", "CLIENT_ID": "c", "CLIENT_SECRET": "s"}.items():
            monkeypatch.setenv(f"AZURE_{name}", value)
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", entra.url)
        provider = azure(**{"entra": True, **keys})
        await provider.ready()
        assert parse_qs(entra.only.body.decode())["scope"] == [scope]
    sent_on = provider.prepare(new_exchange("/v1/chat/completions", body={"model": "d"}), Target(provider=provider))
    assert sent_on.headers["Authorization"] == "Bearer eyJ" and provider.secrets == ("eyJ",)


def test_a_clients_key_in_the_query_gives_way_to_ours() -> None:
    query = "api-key=theirs&subscription-key=theirs&a=1"
    assert sent(azure(api_key="k"), "/v1/files", query=query) == "/openai/v1/files?a=1"
    assert sent(azure(), "/v1/files", query=query).endswith(query)


def test_a_clients_own_key_goes_on_where_there_is_none() -> None:
    provider = azure()
    exchange = new_exchange("/v1/chat/completions", ("api-key", "mine"), body={"model": "d"})
    assert provider.prepare(exchange, Target(provider=provider)).headers["api-key"] == "mine"
    assert provider.forwards_credentials and not azure(api_key="k").forwards_credentials


@pytest.mark.parametrize("model", ["..", "../../x", "%2e%2e"])
def test_no_model_leaves_the_path_of_deployments(model: str) -> None:
    with pytest.raises(BadRequest, match="segment"):
        sent(azure(api_version="V"), "/v1/chat/completions", model=model)
