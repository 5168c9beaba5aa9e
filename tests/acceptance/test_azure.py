"""Azure in front and behind: its SDK classes as clients, both forms of its URLs, tokens, and Claude at Foundry."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import anthropic
import openai
import pytest

from tests.support import vendors
from tests.support.program import Program
from tests.support.provider import Upstream


def config(url: str, *, version: str = "", credential: str = "api_key: az-key") -> str:
    version = f", api_version: {version}" if version else ""
    return f"""
providers:
  - {{name: azure, type: azure, base_url: "{url}"{version}, {credential}, models: ["gpt-4o", "claude-*"]}}
  - {{name: other, type: openai-compatible, base_url: "{url}/other/v1", api_key: sk-other, models: ["llama*"]}}
"""


def target(upstream: Upstream) -> str:
    return upstream.last.target.decode()


def ask(client: openai.OpenAI, model: str) -> str:
    plain = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hi"}])
    stream = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hi"}], stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert plain.choices[0].message.content == text
    return text


@pytest.mark.ledger("H1", "P5")
@pytest.mark.parametrize(
    ("version", "sent"),
    [
        ("", "/openai/v1/chat/completions"),
        ("2024-10-21", "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"),
    ],
)
def test_openai_clients_of_every_form_reach_azure_in_its_own(
    upstream: Upstream, tmp_path: Path, version: str, sent: str
) -> None:
    with Program(tmp_path, "serve", config=config(upstream.url, version=version)) as program:
        for base in (program.url, f"{program.url}/azure"):
            with openai.AzureOpenAI(azure_endpoint=base, api_key="dummy", api_version="2025-01-01") as azure:
                assert ask(azure, "gpt-4o") == vendors.TEXT
        for base in ("v1", "azure/v1", "azure/openai/v1", "azure"):
            with openai.OpenAI(base_url=f"{program.url}/{base}", api_key="dummy") as client:
                assert ask(client, "gpt-4o") == vendors.TEXT
        with openai.AzureOpenAI(azure_endpoint=program.url, api_key="dummy", api_version="2025-01-01") as azure:
            embedded = azure.embeddings.create(model="gpt-4o", input="x")
            assert embedded.data
    chats = [request for request in upstream.requests if "chat" in request.path]
    paths = {request.target.decode() for request in chats}
    own = {f"/openai/deployments/gpt-4o/chat/completions?api-version={number}" for number in ("2025-01-01", version)}
    assert sent in paths and paths <= {sent, *own}
    assert {request.value("api-key") for request in upstream.requests} == {"az-key"}
    assert {request.value("authorization") for request in upstream.requests} == {None}


@pytest.mark.ledger("H1")
def test_azures_client_reaches_other_providers_and_dialects(upstream: Upstream, tmp_path: Path) -> None:
    with (
        Program(tmp_path, "serve", config=config(upstream.url)) as program,
        openai.AzureOpenAI(azure_endpoint=program.url, api_key="dummy", api_version="2025-01-01") as client,
    ):
        assert ask(client, "llama3") == vendors.TEXT
        assert target(upstream) == "/other/v1/chat/completions"
        assert json.loads(upstream.last.body)["model"] == "llama3"
        # No provider is called `openai`, so that beginning of the path names none.
        assert client.responses.create(model="llama3", input="hi").output_text == vendors.TEXT
        assert target(upstream) == "/other/v1/chat/completions"
        assert client.responses.create(model="gpt-4o", input="hi").output_text == vendors.TEXT
        assert target(upstream) == "/openai/v1/responses"
        assert ask(client, "claude-sonnet-4-6") == vendors.TEXT  # translated
        assert target(upstream) == "/anthropic/v1/messages"
        assert upstream.last.value("x-api-key") == upstream.last.value("api-key") == "az-key"
        assert upstream.last.value("anthropic-version")


@pytest.mark.ledger("P5")
def test_responses_go_below_the_root_of_a_version(upstream: Upstream, tmp_path: Path) -> None:
    with Program(tmp_path, "serve", config=config(upstream.url, version="2025-03-01-preview")) as program:
        with openai.AzureOpenAI(azure_endpoint=f"{program.url}/azure", api_key="k", api_version="v9") as client:
            client.responses.create(model="gpt-4o", input="hi")
        assert target(upstream) == "/openai/responses?api-version=v9"
        with openai.OpenAI(base_url=f"{program.url}/v1", api_key="k") as plain:
            plain.responses.create(model="gpt-4o", input="hi")
        assert target(upstream) == "/openai/responses?api-version=2025-03-01-preview"


@pytest.mark.ledger("H1")
def test_claude_at_foundry_through_its_own_sdk(upstream: Upstream, tmp_path: Path) -> None:
    with (
        Program(tmp_path, "serve", config=config(upstream.url)) as program,
        anthropic.AnthropicFoundry(base_url=f"{program.url}/azure/anthropic", api_key="dummy") as client,
    ):
        for model in ("claude-sonnet-4-6", "gpt-4o"):
            answer = client.messages.create(model=model, max_tokens=9, messages=[{"role": "user", "content": "hi"}])
            assert answer.content
    assert upstream.requests[0].path == "/anthropic/v1/messages"


@pytest.mark.ledger("P5")
def test_a_token_of_entra_takes_the_place_of_a_key(upstream: Upstream, tmp_path: Path) -> None:
    command = json.dumps([sys.executable, "-c", "print('eyJtoken')"])
    with Program(tmp_path, "serve", config=config(upstream.url, credential=f"token_command: {command}")) as program:
        for _ in range(2):
            assert program.post("/v1/chat/completions", {"model": "gpt-4o"}).status == 200
        assert upstream.last.value("authorization") == "Bearer eyJtoken" and upstream.last.value("api-key") is None
    failing = config(upstream.url, credential='token_command: ["false"]')
    with Program(tmp_path, "serve", config=failing) as program:
        answer = program.post("/v1/chat/completions", {"model": "gpt-4o"})
        assert answer.status == 502 and "token_command 'false': exit code 1" in answer.json["error"]["message"]


@pytest.mark.ledger("C9")
def test_the_usual_variables_name_an_azure_provider(upstream: Upstream, tmp_path: Path) -> None:
    variables = {
        "AZURE_OPENAI_ENDPOINT": upstream.url,
        "AZURE_OPENAI_API_KEY": "az-env",
        "AZURE_OPENAI_API_VERSION": "2024-06-01",
    }
    with Program(tmp_path, "serve", extra=variables) as program:
        assert program.post("/v1/chat/completions", {"model": "my-deployment"}).status == 200
    assert target(upstream) == "/openai/deployments/my-deployment/chat/completions?api-version=2024-06-01"
    assert upstream.last.value("api-key") == "az-env"
