"""Older keys of the file and variables of the environment: each one changes what the program does."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from llmproxy.config.legacy_keys import COMPATIBLE_VARIABLES, KEYS, MODEL_MAP, VARIABLES
from llmproxy.config.legacy_limits import ENABLED, MAX_REQUESTS, REQUESTS, WINDOW, WINDOW_SECONDS
from llmproxy.config.section_aliases import SETTINGS
from tests.support.program import ROOT, Program
from tests.support.provider import Upstream
from tests.support.redis_server import RedisServer, free_port

pytestmark = pytest.mark.ledger("C9")
CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {"model": "gpt-x", "messages": [{"role": "user", "content": "hi"}]}


def one_provider(upstream: Upstream) -> str:
    return f'providers: [{{name: main, type: openai, base_url: "{upstream.url}/main/v1", api_key: sk-file}}]\n'


def test_every_older_setting_is_in_the_docs_and_in_an_acceptance_test() -> None:
    names = {*VARIABLES, MODEL_MAP, *COMPATIBLE_VARIABLES.values(), *SETTINGS, "model_groups"}
    names |= {key.rpartition(".")[2] for key in KEYS}
    names |= {REQUESTS, WINDOW, ENABLED, MAX_REQUESTS, WINDOW_SECONDS}
    here = Path(__file__)
    files = [each.read_text("utf-8") for each in here.parent.glob("test_*.py")]
    tests = "".join(text for text in files if 'ledger("C9")' in text)
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\b", tests)] == []
    page = (ROOT / "llmproxy/docs/coming-from.md").read_text("utf-8")
    table = page.partition("## Settings of older programs")[2].partition("\n## ")[0]
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\b", table)] == []


def test_llm_variables_are_a_whole_configuration(tmp_path: Path, upstream: Upstream) -> None:
    extra = {"LLM_BASE_URL": f"{upstream.url}/v1", "LLM_TYPE": "anthropic", "LLM_API_KEY": "sk-variable"}
    with Program(tmp_path, extra=extra) as program:
        assert program.post("/v1/messages", {**ASK, "max_tokens": 5}).status == 200
    assert upstream.only.value("x-api-key") == "sk-variable", "the type decides how the key is sent"


def test_openai_compat_variables_describe_the_provider_that_llm_provider_names(
    tmp_path: Path, upstream: Upstream
) -> None:
    extra = {
        "LLM_PROVIDER": "ollama",
        "OPENAI_COMPAT_BASE_URL": f"{upstream.url}/compat/v1",
        "OPENAI_COMPAT_API_KEY": "sk-compat",
    }
    with Program(tmp_path, extra=extra) as program:
        assert program.post(CHAT, ASK).status == 200
        assert program.post(CHAT, ASK, "Authorization: Bearer sk-client").status == 200
    sent = [(each.path, each.value("authorization")) for each in upstream.requests]
    path = "/compat/v1/chat/completions"
    assert sent == [(path, "Bearer sk-compat"), (path, "Bearer sk-client")]


@pytest.mark.parametrize("where", ["environment", "file"])
def test_host_and_port(tmp_path: Path, upstream: Upstream, where: str) -> None:
    port = free_port()
    config, extra = one_provider(upstream), {}
    if where == "environment":
        extra = {"PROXY_API_HOST": "localhost", "PROXY_API_PORT": str(port)}
    else:
        config += f"general_settings: {{bind_address: localhost, bind_port: {port}}}\n"
    with Program(tmp_path, "serve", config=config, extra=extra, free_port=False) as program:
        assert f"http://localhost:{port}" in program.out


@pytest.mark.parametrize(
    "extra", [{"LOG_LEVEL": "debug"}, {"PROXY_API_DEBUG": "true"}, {"LOG_LEVEL": "info", "PROXY_API_DEBUG": "true"}]
)
def test_the_log_level(tmp_path: Path, upstream: Upstream, extra: dict[str, str]) -> None:
    with Program(tmp_path, config=one_provider(upstream), extra=extra) as program:
        level = program.get("/config").json["logging"]["level"]
    assert level == extra.get("LOG_LEVEL", "debug")


@pytest.mark.parametrize("extra", [{"LOG_LEVEL": "DEBUG"}, {"PROXY_API_DEBUG": "true"}])
def test_each_decision_on_an_exchange_has_a_line_at_level_debug(
    tmp_path: Path, upstream: Upstream, extra: dict[str, str]
) -> None:
    config = f"""
providers:
  - {{name: down, type: openai, base_url: "http://127.0.0.1:{free_port()}/v1", api_key: sk-one-secret}}
  - {{name: main, type: anthropic, base_url: "{upstream.url}", api_key: sk-two-secret}}
models: [{{name: smart, targets: [down/gpt-x, main/claude-x]}}]
middlewares: [{{type: sessions}}, {{type: cache}}]
"""
    with Program(tmp_path, config=config, extra=extra) as program:
        assert program.post(CHAT, {**ASK, "model": "smart", "temperature": 0, "seed": 7}).status == 200
        assert program.post(CHAT, {**ASK, "model": "nobody"}).status == 404
    lines = [line for line in program.err.splitlines() if "llmproxy.decisions" in line]
    for expected in (
        "model 'smart': route smart (that name in models): down with 'gpt-x', main with 'claude-x'",
        "session s_",
        "call 1: down with 'gpt-x', as it is",
        "down failed with upstream_error (another target may be tried)",
        "call 2: main with 'claude-x', translated into messages, since down gave upstream_error",
        "main answered 200 after",
        "dropped: seed",
        "the client gets 200, cache miss",
        "the client gets 404 model_not_found: Unknown model 'nobody'",
    ):
        assert any(expected in line for line in lines), (expected, lines)
    assert "secret" not in program.err


def test_at_the_usual_level_decisions_have_no_lines(tmp_path: Path, upstream: Upstream) -> None:
    with Program(tmp_path, config=one_provider(upstream)) as program:
        assert program.post(CHAT, ASK).status == 200
    assert "llmproxy.decisions" not in program.err


@pytest.mark.parametrize(("bytes_", "status"), [("40", 413), ("0", 200)])
def test_the_longest_request(tmp_path: Path, upstream: Upstream, bytes_: str, status: int) -> None:
    config = one_provider(upstream) + "server: {max_body_size: 20}\n"
    with Program(tmp_path, config=config, extra={"MAX_REQUEST_BYTES": bytes_}) as program:
        assert program.post(CHAT, ASK).status == status


def test_interceptors_are_middlewares(tmp_path: Path, upstream: Upstream) -> None:
    config = one_provider(upstream) + "interceptors: [{type: printer}]\n"
    with Program(tmp_path, config=config) as program:
        program.post(CHAT, ASK)
        assert [each["type"] for each in program.get("/config").json["middlewares"]] == ["printer"]


def test_model_groups_are_models_with_providers(tmp_path: Path, upstream: Upstream) -> None:
    config = f"""
model_groups:
  - model_group: fast
    models:
      - {{model: gpt-x, params: {{api_key: sk-group, base_url: "{upstream.url}/group/v1"}}}}
"""
    with Program(tmp_path, config=config) as program:
        assert program.post(CHAT, {**ASK, "model": "fast"}).json["model"] == "gpt-x"
    assert upstream.only.path == "/group/v1/chat/completions"
    assert upstream.only.value("authorization") == "Bearer sk-group"


def test_model_groups_have_deployments_of_azure(tmp_path: Path, upstream: Upstream) -> None:
    config = f"""
model_groups:
  - model_group: fast
    models:
      - {{model: gpt4o-eu, params: {{api_key: az, base_url: "{upstream.url}", api_version: "2024-10-21"}}}}
"""
    with Program(tmp_path, config=config) as program:
        assert program.post(CHAT, {**ASK, "model": "fast"}).status == 200
    path = "/openai/deployments/gpt4o-eu/chat/completions?api-version=2024-10-21"
    assert upstream.only.target.decode() == path
    assert (upstream.only.value("api-key"), upstream.only.value("authorization")) == ("az", None)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no Redis server for Windows")
def test_general_settings_describe_a_cache_in_redis(tmp_path: Path, upstream: Upstream) -> None:
    with RedisServer(tmp_path, "--requirepass", "secret") as redis:
        config = one_provider(upstream) + (
            "general_settings:\n"
            "  cache: true\n"
            "  cache_params: {type: redis, namespace: older, ttl: 60}\n"
            f"  redis_host: 127.0.0.1\n  redis_port: {redis.port}\n  redis_password: secret\n"
        )
        with Program(tmp_path, config=config) as program:
            answers = [program.post(CHAT, {**ASK, "temperature": 0}).value("x-cache") for _ in range(2)]
            state = program.get("/cache").json
    assert answers == ["miss", "hit"] and len(upstream.requests) == 1
    assert (state["store"], state["available"]) == ("redis", True)
