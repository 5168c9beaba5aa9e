"""The OpenAI-compatible services: each is a row, works by `type/model` and below its name, and gets its own key."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from tests.support import vendors
from tests.support.program import Program
from tests.support.provider import Upstream

LOCAL = ("ollama", "lmstudio", "localai", "llamacpp", "vllm")
HOSTED = ("groq", "mistral", "deepseek", "together", "fireworks", "openrouter", "xai", "cerebras", "perplexity")
SERVICES = (*LOCAL, *HOSTED, "openai-compatible")


@pytest.fixture(scope="module")
def services(lasting_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """Yield a program with all of them, those on one's own machine without a key."""
    entries = [
        f'  - {{name: my-{type_}, type: {type_}, base_url: "{lasting_upstream.url}/{type_}/v1"'
        + ("}" if type_ in LOCAL else f", api_key: sk-{type_}}}")
        for type_ in SERVICES
    ]
    config = "\n".join(["providers:", *entries, ""])
    with Program(tmp_path_factory.mktemp("services"), "serve", config=config) as program:
        yield program


@pytest.mark.ledger("P1")
@pytest.mark.parametrize("type_", SERVICES)
def test_each_service_is_reached_by_name_and_by_type(services: Program, upstream: Upstream, type_: str) -> None:
    for base, model, sent in (
        (services.url, f"my-{type_}/org/model:8b", "org/model:8b"),
        (f"{services.url}/v1", f"{type_}/m", "m"),
        (f"{services.url}/my-{type_}", "m", "m"),
        (f"{services.url}/{type_}/v1", "m", "m"),
    ):
        with openai.OpenAI(base_url=base, api_key="dummy", max_retries=0) as client:
            plain = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hi"}])
            stream = client.chat.completions.create(model=model, messages=[], stream=True)
            text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        assert (plain.model, text) == (sent, vendors.TEXT)
    assert {request.path for request in upstream.requests} == {f"/{type_}/v1/chat/completions"}
    keys = {request.value("authorization") for request in upstream.requests}
    assert keys == ({"Bearer dummy"} if type_ in LOCAL else {f"Bearer sk-{type_}"})


@pytest.mark.ledger("P1")
def test_a_service_that_stands_alone_answers_every_model(
    upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = f'providers: [{{name: local, type: ollama, base_url: "{upstream.url}"}}]\n'
    with Program(tmp_path_factory.mktemp("alone"), "serve", config=config) as program:
        for model in ("llama3", "gpt-4o", "who/knows"):
            assert program.post("/v1/chat/completions", {"model": model}).json["model"] == model
        assert program.post("/v1/messages", {"model": "llama3"}).status == 200
    assert upstream.last.path == "/v1/messages"
