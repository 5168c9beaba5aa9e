"""What the golden cases do not show of the checks between sections."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmproxy.config.cross_checks import loopback
from llmproxy.config.load import load


def codes(directory: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    (directory / "llmproxy.yaml").write_text(text)
    return [problem.code for problem in load(directory=directory, environ=environ or {}).problems]


@pytest.mark.parametrize(
    ("listening", "url", "own"),
    [
        ("{}", "http://127.0.0.1:3000/v1", True),
        ("{}", "http://localhost:3000", True),
        ("{}", "http://LOCALHOST:3000", True),
        ("{}", "http://127.0.0.1:3001", False),
        ("{}", "http://10.0.0.1:3000", False),
        ("{port: 80}", "http://localhost/v1", True),
        ("{port: 443}", "https://localhost/v1", True),
        ("{port: 80}", "https://localhost/v1", False),
        ("{host: 0.0.0.0, port: 8000}", "http://127.0.0.1:8000", True),
        ("{host: 10.0.0.5}", "http://10.0.0.5:3000", True),
        ("{host: 10.0.0.5}", "http://127.0.0.1:3000", False),
        ("{port: 0}", "http://127.0.0.1:3000", False),
    ],
)
def test_a_provider_that_is_the_proxy_itself_is_refused(tmp_path: Path, listening: str, url: str, own: bool) -> None:
    text = f"server: {listening}\nproviders: [{{name: a, type: openai, base_url: '{url}'}}]\n"
    assert codes(tmp_path, text) == (["calls-itself"] if own else [])


@pytest.mark.parametrize(
    ("host", "provider", "warned"),
    [
        ("0.0.0.0", "{name: a, type: openai, api_key: k}", True),
        ("'::'", "{name: a, type: openai, api_key: k}", True),
        ("192.168.1.5", "{name: a, type: openai, api_key: k}", True),
        ("my-host", "{name: a, type: openai, api_key: k}", True),
        ("0.0.0.0", "{name: a, type: openai}", False),
        ("0.0.0.0", "{name: a, type: openai, api_key: k, enabled: false}, {name: b, type: stub}", False),
        ("127.0.0.1", "{name: a, type: openai, api_key: k}", False),
        ("localhost", "{name: a, type: openai, api_key: k}", False),
    ],
)
def test_a_key_that_everybody_may_use_is_a_warning(tmp_path: Path, host: str, provider: str, warned: bool) -> None:
    text = f"server: {{host: {host}}}\nproviders: [{provider}]\n"
    assert codes(tmp_path, text) == (["exposed-key"] if warned else [])


def test_the_key_of_the_upstream_is_exposed_just_as_well(tmp_path: Path) -> None:
    text = "llm: {type: openai, api_key: k}\n"
    assert codes(tmp_path, text, {"PROXY_API_HOST": "0.0.0.0"}) == ["exposed-key"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost", "LOCALHOST", "a.localhost"])
def test_loopback_is_this_machine_only(host: str) -> None:
    assert loopback(host)
    assert not loopback("0.0.0.0")
    assert not loopback("localhost.example.com")


def test_a_disabled_provider_needs_no_variable_but_no_mistake_is_missed(tmp_path: Path) -> None:
    text = """
providers:
  - {name: a, type: stub}
  - {name: b, type: openai, enabled: false, api_key: "${NOWHERE}", base_url: "http://${NOWHERE}"}
"""
    assert codes(tmp_path, text) == []
    assert codes(tmp_path, text.replace("api_key", "apikey")) == ["unknown-key"]
