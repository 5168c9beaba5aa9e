from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from llmproxy.access.cors import EXPOSED
from llmproxy.config.auth import AuthConfig, ClaimsConfig, JwtConfig, KeyConfig
from llmproxy.config.observability import LoggingConfig, OtlpConfig, TelemetryConfig
from llmproxy.config.routing_schema import BreakerConfig, ConditionConfig, ModelConfig, RoutingConfig, TargetConfig
from llmproxy.config.schema import SECTIONS, Config, MiddlewareEntry, ServerConfig
from llmproxy.config.transport import CorsConfig, TlsConfig
from llmproxy.registry import config_of, find_component, names

MODELS: list[type[BaseModel]] = [
    *(Config, ServerConfig, LoggingConfig, TelemetryConfig, OtlpConfig, ModelConfig, TargetConfig, MiddlewareEntry),
    *(AuthConfig, KeyConfig, JwtConfig, ClaimsConfig, CorsConfig, TlsConfig),
    *(RoutingConfig, BreakerConfig, ConditionConfig),
    *(config_of(find_component("providers", type_, Path())) for type_ in names("providers")),
]


@pytest.mark.ledger("C1")
def test_windows_has_one_worker_and_says_what_to_do_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ServerConfig.model_validate({"workers": "4"}).worker_count == 4
    for wrong in (0, 1000, "many"):
        with pytest.raises(ValidationError):
            ServerConfig.model_validate({"workers": wrong})
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(ValidationError, match="leave it at 1, or run several servers behind a load balancer"):
        ServerConfig.model_validate({"workers": 2})
    assert [ServerConfig.model_validate({"workers": each}).worker_count for each in (1, "1", "auto")] == [1, 1, 1]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__qualname__)
def test_every_key_says_what_it_is_for(model: type[BaseModel]) -> None:
    output = {name: field for name, field in model.model_fields.items() if not field.exclude}
    assert [name for name, field in output.items() if not (field.description or "").endswith(".")] == []


def test_the_directory_is_no_section() -> None:
    assert "directory" not in SECTIONS
    assert "directory" not in Config().model_dump()


def test_defaults_are_those_of_the_readme() -> None:
    assert ServerConfig().model_dump(mode="json") == {
        "host": "127.0.0.1",
        "port": 3000,
        "workers": 1,
        "max_head_size": "64KB",
        "max_body_size": "64MB",
        "max_upload_size": "none",
        "max_held_bytes": "512MB",
        "max_connections": None,
        "max_concurrent": None,
        "queue_timeout": "5s",
        "shutdown_timeout": "30s",
        "reload_on_change": True,
        "keepalive_timeout": "75s",
        "websocket_idle_timeout": "1h",
        "header_timeout": "30s",
        "body_timeout": "60s",
        "body_total_timeout": "600s",
        "admin_key": None,
        "allowed_hosts": [],
        "allowed_origins": [],
        "trusted_proxies": [],
        "cors": {
            "allow_origins": [],
            "allow_headers": ["*"],
            "expose_headers": list(EXPOSED),
            "max_age": "600s",
            "allow_credentials": False,
        },
        "tls": None,
    }


def test_allowed_hosts_are_names_with_or_without_a_port() -> None:
    hosts = ["LLM.example.com", "*.corp.example:8080", "[::1]", "10.0.0.*", " x "]
    found = ServerConfig.model_validate({"allowed_hosts": hosts}).allowed_hosts
    assert found == ["llm.example.com", "*.corp.example:8080", "::1", "10.0.0.*", "x"]
    for wrong in ("http://x", "x/y", "x:port", "", "a b", "user@x", 5, None):
        with pytest.raises(ValidationError):
            ServerConfig.model_validate({"allowed_hosts": [wrong]})
    with pytest.raises(ValidationError):
        ServerConfig.model_validate({"allowed_hosts": "x"})


def test_allowed_origins_are_as_browsers_send_them() -> None:
    origins = [
        "https://App.example.com/",
        "http://x:80",
        "https://x:443",
        "http://x:443",
        "chrome-extension://*",
        "*",
        "null",
    ]
    found = ServerConfig.model_validate({"allowed_origins": origins}).allowed_origins
    assert found == [
        *("https://app.example.com", "http://x", "https://x", "http://x:443", "chrome-extension://*", "*", "null"),
    ]
    for wrong in ("app.example.com", "https://x/path", "https://", "https://u@x", "", "x:80", 5):
        with pytest.raises(ValidationError):
            ServerConfig.model_validate({"allowed_origins": [wrong]})


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0", "::", "::1", "my-host.example", "bücher.example"])
def test_hosts_are_addresses_and_names(host: str) -> None:
    assert ServerConfig(host=host).host == host
    assert ServerConfig(host=f" {host} ").host == host


def test_an_address_may_stand_in_brackets() -> None:
    assert ServerConfig(host="[::1]").host == "::1"


@pytest.mark.parametrize("host", ["http://localhost", "localhost:3000", "a b", " ", "a..b", "x" * 300])
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(ValidationError, match="invalid address or host name"):
        ServerConfig(host=host)


@pytest.mark.parametrize("word", ["DEBUG", " debug ", "Debug"])
def test_levels_may_be_written_in_any_case(word: str) -> None:
    assert LoggingConfig.model_validate({"level": word}).level == "debug"
