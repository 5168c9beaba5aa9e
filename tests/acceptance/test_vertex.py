"""Vertex in front and behind: its tokens, and its forms of the APIs of Google, Anthropic and OpenAI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.support import google_accounts, vendors
from tests.support.google_accounts import PROJECT, TokenServer
from tests.support.program import Program
from tests.support.provider import Upstream

OURS = f"/projects/{PROJECT}/locations/europe-west4"
DUMMY = "/v1/projects/dummy/locations/global"
LLAMA = "meta/llama-4-maas"


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
        answer = program.post("/v1/chat/completions", {"model": LLAMA, "messages": []})
    message = answer.json["error"]["message"]
    assert answer.status == 502 and "GOOGLE_APPLICATION_CREDENTIALS (not set)" in message
    assert "gcloud" in message and "metadata server" in message
