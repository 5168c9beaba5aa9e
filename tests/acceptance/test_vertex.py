"""Vertex in front and behind: its tokens, and its forms of the APIs of Google, Anthropic and OpenAI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import anthropic
import openai
import pytest

from tests.support import google_accounts, vendors
from tests.support.google_accounts import PROJECT, TokenServer
from tests.support.program import Program
from tests.support.provider import Upstream
from tests.support.waiting import until

OURS = f"/projects/{PROJECT}/locations/europe-west4"
DUMMY = "/v1/projects/dummy/locations/global"
LLAMA = "meta/llama-4-maas"
CLAUDE = "claude-sonnet-4-5@20250929"


@pytest.fixture
def tokens() -> TokenServer:
    return TokenServer()


@pytest.fixture
def cloud(tokens: TokenServer) -> Iterator[Upstream]:
    with Upstream(tokens) as upstream:
        yield upstream


def config(cloud: Upstream, *, file: Path | None = None) -> str:
    credentials = f', credentials_file: "{file}"' if file else ""
    return f"""
providers:
  - {{name: vertex, type: vertex, base_url: "{cloud.url}", location: europe-west4{credentials}}}
  - {{name: other, type: openai-compatible, base_url: "{cloud.url}/other/v1", api_key: sk-other, models: ["qwen*"]}}
"""


def chat(base_url: str, model: str) -> str | None:
    with openai.OpenAI(base_url=base_url, api_key="dummy") as client:
        answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hi"}])
    return answer.choices[0].message.content


def calls(cloud: Upstream) -> list[tuple[str, str | None]]:
    """Return paths and credentials of the calls of models."""
    return [
        (each.target.decode(), each.value("authorization"))
        for each in cloud.requests
        if "/computeMetadata" not in each.path and each.path not in ("/", "/token")
    ]


@pytest.mark.ledger("P5", "H1", "H2")
def test_other_makers_models_are_called_in_the_form_of_openai(cloud: Upstream, tmp_path: Path) -> None:
    file = google_accounts.service_account(tmp_path, cloud.url)
    with Program(tmp_path, "serve", config=config(cloud, file=file)) as program:
        for base in ("/v1", f"{DUMMY}/endpoints/openapi", "/vertex/v1", f"/vertex{DUMMY}/endpoints/openapi"):
            assert chat(program.url + base, LLAMA) == vendors.TEXT
        assert chat(f"{program.url}/openai-proxy", f"vertex/{LLAMA}") == vendors.TEXT
        assert calls(cloud) == [(f"/v1{OURS}/endpoints/openapi/chat/completions", "Bearer ya29.1")] * 5
        assert {json.loads(each.body)["model"] for each in cloud.requests if "openapi" in each.path} == {LLAMA}
        assert chat(f"{program.url}{DUMMY}/endpoints/openapi", "qwen3") == vendors.TEXT
        assert calls(cloud)[-1] == ("/other/v1/chat/completions", "Bearer sk-other")


@pytest.mark.ledger("P5")
def test_tokens_come_from_the_metadata_server_and_are_refreshed(
    cloud: Upstream, tokens: TokenServer, tmp_path: Path
) -> None:
    address = cloud.url.removeprefix("http://")
    tokens.life_s = 2
    with Program(
        tmp_path,
        "serve",
        config=config(cloud),
        extra={"GCE_METADATA_HOST": address, "GCE_METADATA_IP": address, "HOME": str(tmp_path)},
    ) as program:
        assert chat(f"{program.url}/v1", LLAMA) == vendors.TEXT
        assert calls(cloud) == [(f"/v1{OURS}/endpoints/openapi/chat/completions", "Bearer ya29.1")]
        while calls(cloud)[-1][1] == "Bearer ya29.1":  # until it has ended
            chat(f"{program.url}/v1", LLAMA)
        assert calls(cloud)[-1][1] == "Bearer ya29.2"


@pytest.mark.ledger("P5")
def test_where_no_credentials_are_found_the_sources_are_named(cloud: Upstream, tmp_path: Path) -> None:
    nowhere = {"NO_GCE_CHECK": "true", "HOME": str(tmp_path)}
    with Program(tmp_path, "serve", config=config(cloud), extra=nowhere) as program:
        until(lambda: "provider 'vertex': No token of Google Cloud: tried" in program.err, "the warning at the start")
        answer = program.post("/v1/chat/completions", {"model": LLAMA, "messages": []})
    message = answer.json["error"]["message"]
    assert answer.status == 502 and "GOOGLE_APPLICATION_CREDENTIALS (not set)" in message
    assert "gcloud" in message and "metadata server" in message


def anthropic_vertex(base_url: str) -> anthropic.AnthropicVertex:
    return anthropic.AnthropicVertex(project_id="dummy", region="global", access_token="dummy", base_url=base_url)


def ask(client: anthropic.AnthropicVertex | anthropic.Anthropic, model: str) -> str:
    with client:
        plain = client.messages.create(model=model, max_tokens=9, messages=[{"role": "user", "content": "hi"}])
        with client.messages.stream(model=model, max_tokens=9, messages=[{"role": "user", "content": "hi"}]) as stream:
            text = stream.get_final_text()
    assert [block.text for block in plain.content if block.type == "text"] == [text]
    return text


@pytest.mark.ledger("P5", "H1")
def test_claude_is_called_by_raw_predict(cloud: Upstream, tmp_path: Path) -> None:
    file = google_accounts.service_account(tmp_path, cloud.url)
    with Program(tmp_path, "serve", config=config(cloud, file=file)) as program:
        for base in ("", "/vertex", "/vertex/v1"):
            assert ask(anthropic_vertex(program.url + base), CLAUDE) == vendors.TEXT
        assert ask(anthropic.Anthropic(api_key="dummy", base_url=program.url), CLAUDE) == vendors.TEXT
        with anthropic_vertex(program.url) as client:
            counted = client.messages.count_tokens(model=CLAUDE, messages=[{"role": "user", "content": "hi"}])
            assert counted.input_tokens == vendors.IN
        path = f"/v1{OURS}/publishers/anthropic/models"
        verbs = ["rawPredict", "streamRawPredict"] * 4
        sent = calls(cloud)
        assert sent[:-1] == [(f"{path}/{CLAUDE}:{verb}", "Bearer ya29.1") for verb in verbs]
        assert sent[-1] == (f"{path}/count-tokens:rawPredict", "Bearer ya29.1")
        bodies = [json.loads(each.body) for each in cloud.requests if "rawPredict" in each.path]
        assert all("model" not in body and body["anthropic_version"] for body in bodies[:-1])
        assert ask(anthropic_vertex(program.url), "qwen3") == vendors.TEXT  # translated, for another provider


@pytest.mark.ledger("H1")
def test_the_client_of_claude_at_vertex_reaches_anthropic_itself(cloud: Upstream, tmp_path: Path) -> None:
    providers = f"providers: [{{name: a, type: anthropic, base_url: '{cloud.url}', api_key: sk-ant}}]"
    with Program(tmp_path, "serve", config=providers) as program:
        assert ask(anthropic_vertex(program.url), CLAUDE) == vendors.TEXT
    last = cloud.requests[-1]
    assert (last.path, last.value("x-api-key"), last.value("authorization")) == ("/v1/messages", "sk-ant", None)
    assert json.loads(last.body)["model"] == CLAUDE and last.value("anthropic-version") == "2026-10-21"
