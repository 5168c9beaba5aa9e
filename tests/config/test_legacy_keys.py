"""Every older key and variable, each with what it changes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr

from llmproxy.config.legacy_keys import KEYS, VARIABLES, parse_model_map
from llmproxy.config.load import Loaded, load
from llmproxy.config.overrides import Override
from llmproxy.config.schema import Config
from llmproxy.providers.base import HttpProvider

STUB = "providers: [{name: stub, type: stub}]\n"


def configured(directory: Path, text: str, environ: Mapping[str, str] = {}) -> Config:
    return loaded(directory, text, environ).checked()


def loaded(directory: Path, text: str, environ: Mapping[str, str]) -> Loaded:
    (directory / "llmproxy.yaml").write_text(text)
    return load(directory=directory, environ=environ)


def report(loaded: Loaded) -> list[str]:
    return [str(problem) for problem in loaded.problems]


def test_general_settings_say_where_to_listen(tmp_path: Path) -> None:
    config = configured(tmp_path, STUB + "general_settings: {bind_address: localhost, bind_port: 5000}\n")
    assert (config.server.host, config.server.port) == ("localhost", 5000)


def test_interceptors_are_middlewares(tmp_path: Path) -> None:
    (tmp_path / "tag.py").write_text(
        "from llmproxy.middleware.base import Middleware\nclass Tag(Middleware):\n    pass\n"
    )
    config = configured(tmp_path, STUB + "interceptors: [{type: './tag.py:Tag'}]\n")
    assert [entry.type for entry in config.middlewares] == ["./tag.py:Tag"]


@pytest.mark.parametrize("old", sorted(KEYS))
def test_a_mistake_behind_an_older_key_is_reported_under_that_key(tmp_path: Path, old: str) -> None:
    section, _, name = old.rpartition(".")
    text = f"{section}:\n  {name}: {{}}\n" if section else f"{name}: {{}}\n"
    (problem, *_) = loaded(tmp_path, STUB + text, {}).problems
    assert problem.key == old
    assert problem.mark.line == (3 if section else 2)


def test_a_variable_for_the_key_is_the_key(tmp_path: Path) -> None:
    result = loaded(tmp_path, "providers: [{name: a, type: openai, api_key_env: MY_KEY}]\n", {"MY_KEY": "sk-1"})
    (provider,) = result.checked().providers
    assert isinstance(provider, HttpProvider.Config)
    assert provider.api_key == SecretStr("sk-1")
    assert result.key_sources == {"a": "environment variable MY_KEY"}


def test_the_upstream_may_come_from_the_environment(tmp_path: Path) -> None:
    environ = {"LLM_BASE_URL": "http://one.example/v1", "LLM_TYPE": "ollama", "LLM_API_KEY": "k"}
    result = load(directory=tmp_path, environ=environ)
    llm = result.checked().llm
    assert isinstance(llm, HttpProvider.Config)
    assert (llm.base_url, llm.type, llm.api_key) == ("http://one.example/v1", "ollama", SecretStr("k"))
    assert result.key_sources == {"llm": "environment variable LLM_API_KEY"}
    assert result.checked().providers == []


def test_the_environment_wins_over_the_upstream_of_the_file(tmp_path: Path) -> None:
    text = "llm: {base_url: 'http://file.example', type: openai, api_key: file}\n"
    llm = configured(tmp_path, text, {"LLM_BASE_URL": "http://env.example", "LLM_API_KEY": ""}).llm
    assert isinstance(llm, HttpProvider.Config)
    assert (llm.base_url, llm.type, llm.api_key) == ("http://env.example", "openai", SecretStr("file"))


def test_a_key_without_an_upstream_is_ignored_with_a_warning(tmp_path: Path) -> None:
    result = load(directory=tmp_path, environ={"LLM_API_KEY": "k"})
    assert result.checked().llm is None
    assert [problem.code for problem in result.warnings] == ["unused-variable"]


@pytest.mark.parametrize(
    ("variable", "value", "level"),
    [
        ("LOG_LEVEL", "WARNING", "warning"),
        ("LOG_LEVEL", "warn", "warning"),
        ("PROXY_API_DEBUG", "true", "debug"),
        ("PROXY_API_DEBUG", "1", "debug"),
        ("PROXY_API_DEBUG", "false", "error"),
    ],
)
def test_the_level_may_come_from_the_environment(tmp_path: Path, variable: str, value: str, level: str) -> None:
    assert configured(tmp_path, STUB + "logging: {level: error}\n", {variable: value}).logging.level == level


def test_a_level_is_more_exact_than_debugging(tmp_path: Path) -> None:
    config = configured(tmp_path, STUB, {"LOG_LEVEL": "error", "PROXY_API_DEBUG": "true"})
    assert config.logging.level == "error"


def test_the_address_may_come_from_the_environment(tmp_path: Path) -> None:
    text = STUB + "server: {host: 127.0.0.1, port: 1}\n"
    server = configured(tmp_path, text, {"PROXY_API_HOST": "localhost", "PROXY_API_PORT": "8000"}).server
    assert (server.host, server.port) == ("localhost", 8000)


@pytest.mark.parametrize(("value", "size_bytes"), [("1000", 1000), ("0", None)])
def test_the_longest_body_may_come_from_the_environment(tmp_path: Path, value: str, size_bytes: int | None) -> None:
    assert configured(tmp_path, STUB, {"MAX_REQUEST_BYTES": value}).server.max_body_size == size_bytes


def test_the_origins_of_web_pages_may_come_from_the_environment(tmp_path: Path) -> None:
    environ = {"CORS_ALLOW_ORIGINS": "http://localhost:3000, https://app.example.com/,"}
    text = STUB + "server: {port: 1, cors: {allow_origins: [https://old.example], max_age: 5s}}\n"
    cors = configured(tmp_path, text, environ).server.cors
    assert cors.allow_origins == ["http://localhost:3000", "https://app.example.com"]
    assert cors.max_age == 5
    assert configured(tmp_path, STUB, {"CORS_ALLOW_ORIGINS": "*"}).server.cors.allow_origins == ["*"]


def test_the_default_provider_may_come_from_the_environment(tmp_path: Path) -> None:
    config = configured(tmp_path, STUB + "default_provider: stub\n", {"LLM_PROVIDER": "ollama"})
    assert config.default_provider == "ollama"
    assert [provider.name for provider in config.providers] == ["stub", "ollama"]


def test_the_compatible_service_has_variables_of_its_own(tmp_path: Path) -> None:
    environ = {"LLM_PROVIDER": "ollama", "OPENAI_COMPAT_BASE_URL": "http://x:1/v1", "OPENAI_COMPAT_API_KEY": "k"}
    result = load(directory=tmp_path, environ=environ)
    (provider,) = result.checked().providers
    assert isinstance(provider, HttpProvider.Config)
    assert (provider.name, provider.base_url, provider.auth) == ("ollama", "http://x:1/v1", "passthrough")
    assert provider.api_key == SecretStr("k")
    assert result.key_sources == {"ollama": "the client's own, else environment variable OPENAI_COMPAT_API_KEY"}


def test_models_may_be_mapped_by_the_environment(tmp_path: Path) -> None:
    text = STUB + "models: [{name: gpt-4, targets: [stub/x]}, {name: other, targets: [stub]}]\n"
    config = configured(tmp_path, text, {"MODEL_PROVIDER_MAP": "gpt-4=ollama, local-*=stub,"})
    assert {model.name: [(t.provider, t.model) for t in model.targets] for model in config.models} == {
        "other": [("stub", None)],
        "gpt-4": [("ollama", None)],
        "local-*": [("stub", None)],
    }
    assert [provider.name for provider in config.providers] == ["stub", "ollama"]


def test_a_map_without_a_default_leaves_the_rest_to_the_stub(tmp_path: Path) -> None:
    config = load(directory=tmp_path, environ={"MODEL_PROVIDER_MAP": "gpt-4=ollama"}).checked()
    assert {provider.name for provider in config.providers} == {"ollama", "stub"}
    assert config.default_provider == "stub"


@pytest.mark.parametrize("text", ["gpt-4", "=ollama", "gpt-4=", "a=b,c"])
def test_a_map_that_maps_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write model=provider"):
        parse_model_map(text)


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        ({"LOG_LEVEL": "loud"}, "environment variable LOG_LEVEL: must be one of debug, info, warning, error, critical"),
        ({"PROXY_API_DEBUG": "perhaps"}, "environment variable PROXY_API_DEBUG: must be true or false, not 'perhaps'"),
        ({"PROXY_API_PORT": "http"}, "environment variable PROXY_API_PORT: must be a whole number"),
        ({"MAX_REQUEST_BYTES": "-1"}, "environment variable MAX_REQUEST_BYTES: must be a number of bytes, 0 for no"),
        (
            {"CORS_ALLOW_ORIGINS": "x"},
            "environment variable CORS_ALLOW_ORIGINS: 'x' is not an origin; write scheme and",
        ),
        ({"MODEL_PROVIDER_MAP": "x"}, "environment variable MODEL_PROVIDER_MAP: invalid entry: 'x'; write model"),
        ({"MODEL_PROVIDER_MAP": "x=y"}, "environment variable MODEL_PROVIDER_MAP: unknown provider: 'y'"),
        (
            {"LLM_PROVIDER": "olama"},
            "environment variable LLM_PROVIDER: unknown provider: 'olama'; did you mean 'ollama'?",
        ),
        ({"LLM_TYPE": "opnai"}, "environment variable LLM_TYPE: unknown provider type: 'opnai'; did you mean"),
        ({"LLM_BASE_URL": "x"}, "environment variable LLM_BASE_URL: 'x' has no scheme"),
    ],
)
def test_a_mistake_in_a_variable_is_reported_under_its_name(tmp_path: Path, environ: dict[str, str], text: str) -> None:
    (problem,) = report(loaded(tmp_path, STUB, environ))
    assert problem.startswith(text)


def test_requests_are_logged_and_a_metrics_port_is_opened_by_the_environment(tmp_path: Path) -> None:
    assert configured(tmp_path, STUB, {"LOG_REQUESTS": "true"}).logging.requests
    ports = [
        configured(tmp_path, STUB, environ).telemetry.metrics_port
        for environ in (
            {},
            {"ENABLE_TELEMETRY": "true"},
            {"PROMETHEUS_PORT": "9100"},
            {"PROMETHEUS_PORT": "9100", "ENABLE_TELEMETRY": "false"},
        )
    ]
    assert ports == [None, 8081, 9100, None]


def test_a_collector_of_the_environment_is_used_only_where_telemetry_is_switched_on(tmp_path: Path) -> None:
    collector = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}
    found = [
        configured(tmp_path, STUB, {**collector, **more}).telemetry.enabled_otlp is not None
        for more in ({}, {"ENABLE_TELEMETRY": "true"}, {"ENABLE_TELEMETRY": "false"})
    ]
    assert found == [False, True, False]


def test_every_variable_of_the_table_is_tested_here() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in VARIABLES if source.count(name) < 1] == []


def test_flags_win_over_variables_and_variables_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "llmproxy.yaml").write_text(STUB + "server: {port: 1, host: 127.0.0.3}\nlogging: {level: error}\n")
    environ = {"PROXY_API_PORT": "2", "PROXY_API_HOST": "127.0.0.2"}
    flags = [Override(path="server.port", value=3, source="--port")]
    config = load(directory=tmp_path, environ=environ, overrides=flags).checked()
    assert (config.server.port, config.server.host, config.logging.level) == (3, "127.0.0.2", "error")


def test_a_section_without_anything_takes_what_the_environment_says(tmp_path: Path) -> None:
    assert configured(tmp_path, STUB + "server:\n", {"PROXY_API_PORT": "2"}).server.port == 2
