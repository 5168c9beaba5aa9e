from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from llmproxy.config.load import load, load_from_python
from llmproxy.config.overrides import Override
from llmproxy.config.problems import ConfigError
from llmproxy.providers.base import HttpProvider
from llmproxy.registry import find_component, names

KEYS = [
    (type_, variable)
    for type_ in names("providers")
    if issubclass(component := find_component("providers", type_, Path()), HttpProvider)
    and (variable := component.Config.services[type_].key_env)
    and component.Config.services[type_].origin
]


def test_with_nothing_set_the_stub_answers_every_model(tmp_path: Path) -> None:
    loaded = load(directory=tmp_path, environ={})
    (provider,) = loaded.checked().providers
    assert (provider.name, provider.type, provider.models) == ("stub", "stub", ["*"])
    assert loaded.implicit == "no key variable is set, so the stub answers every model"


@pytest.mark.parametrize("keys", [{}, {"OPENAI_API_KEY": "k"}], ids=["no keys", "a key"])
def test_what_a_map_without_a_default_leaves_over_is_the_stubs(tmp_path: Path, keys: dict[str, str]) -> None:
    environ = {"MODEL_PROVIDER_MAP": "gpt-4=ollama,local-*=stub", **keys}
    config = load(directory=tmp_path, environ=environ).checked()
    assert {"ollama", "stub"} <= {each.name for each in config.providers} and config.default_provider == "stub"
    assert (
        load(directory=tmp_path, environ={**environ, "LLM_PROVIDER": "ollama"}).checked().default_provider == "ollama"
    )
    (tmp_path / "llmproxy.yaml").write_text("providers: [{name: ollama, type: ollama}, {name: stub, type: stub}]\n")
    assert load(directory=tmp_path, environ=environ).checked().default_provider is None


@pytest.mark.parametrize(("type_", "variable"), KEYS)
def test_a_key_variable_brings_its_provider(tmp_path: Path, type_: str, variable: str) -> None:
    loaded = load(directory=tmp_path, environ={variable: " k "})
    (provider,) = loaded.checked().providers
    assert isinstance(provider, HttpProvider.Config)
    assert (provider.name, provider.type, provider.api_key, provider.models) == (type_, type_, SecretStr("k"), None)
    assert loaded.key_sources == {type_: f"environment variable {variable}"}
    assert loaded.implicit == "the providers whose variables are set"


@pytest.mark.parametrize("vendor", ["OPENAI", "ANTHROPIC"])
def test_an_address_may_come_with_the_key(tmp_path: Path, vendor: str) -> None:
    environ = {f"{vendor}_API_KEY": "k", f"{vendor}_BASE_URL": "https://other.example/v1"}
    (provider,) = load(directory=tmp_path, environ=environ).checked().providers
    assert isinstance(provider, HttpProvider.Config)
    assert (provider.name, provider.base_url) == (vendor.lower(), "https://other.example/v1")


def test_a_service_without_a_usual_address_comes_with_its_address(tmp_path: Path) -> None:
    environ = {"OPENAI_COMPAT_BASE_URL": "http://localhost:8000/v1"}
    (provider,) = load(directory=tmp_path, environ=environ).checked().providers
    assert (provider.name, provider.type) == ("openai-compatible", "openai-compatible")


def test_several_keys_bring_several_providers(tmp_path: Path) -> None:
    loaded = load(directory=tmp_path, environ={"GROQ_API_KEY": "g", "ANTHROPIC_API_KEY": "a", "OPENAI_API_KEY": ""})
    assert [provider.name for provider in loaded.checked().providers] == ["anthropic", "groq"]


def test_keys_in_dotenv_count(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OPENAI_API_KEY=k\n")
    loaded = load(directory=tmp_path, environ={})
    assert loaded.key_sources == {"openai": "OPENAI_API_KEY in .env"}
    assert loaded.dotenv == {"OPENAI_API_KEY": "k"}


@pytest.mark.parametrize("url", ["http://localhost:3000/v1", "http://127.0.0.1:3000", "http://[::1]:3000/v1"])
def test_an_address_that_is_the_proxy_itself_is_for_clients(tmp_path: Path, url: str) -> None:
    loaded = load(directory=tmp_path, environ={"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": url})
    (provider,) = loaded.checked().providers
    assert isinstance(provider, HttpProvider.Config)
    assert provider.base_url is None
    assert [problem.code for problem in loaded.warnings] == ["calls-itself"]


def test_a_file_that_names_a_provider_gets_no_other(tmp_path: Path) -> None:
    (tmp_path / "llmproxy.yaml").write_text("providers: [{name: a, type: stub}]\n")
    loaded = load(directory=tmp_path, environ={"OPENAI_API_KEY": "k"})
    assert [provider.name for provider in loaded.checked().providers] == ["a"]
    assert loaded.implicit == ""


def test_a_file_that_names_an_upstream_gets_no_provider(tmp_path: Path) -> None:
    (tmp_path / "llmproxy.yaml").write_text("llm: {type: stub}\n")
    assert load(directory=tmp_path, environ={"OPENAI_API_KEY": "k"}).checked().providers == []


def test_a_file_that_names_none_has_those_of_the_environment(tmp_path: Path) -> None:
    (tmp_path / "llmproxy.yaml").write_text("server: {port: 4000}\n")
    loaded = load(directory=tmp_path, environ={"OPENAI_API_KEY": "k"})
    assert [provider.name for provider in loaded.checked().providers] == ["openai"]
    assert loaded.implicit == "the providers whose variables are set"


def test_a_mistake_in_a_variable_is_reported_under_its_name(tmp_path: Path) -> None:
    loaded = load(directory=tmp_path, environ={"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "nowhere"})
    (problem,) = loaded.problems
    assert str(problem).startswith("environment variable OPENAI_BASE_URL: 'nowhere' has no scheme")


@pytest.mark.parametrize("text", ["server: {port: 4000}\n", "{}\n", "providers:\n", "middlewares: [{type: printer}]\n"])
def test_a_configuration_without_any_provider_is_an_error_that_says_what_to_add(tmp_path: Path, text: str) -> None:
    (tmp_path / "llmproxy.yaml").write_text(text)
    (problem,) = load(directory=tmp_path, environ={}).problems
    assert (problem.severity, problem.code, problem.key) == ("error", "no-provider", "providers")
    assert "there is no provider; add one, such as `- {name: stub, type: stub}`" in problem.message
    assert "OPENAI_API_KEY" in problem.message
    with pytest.raises(ConfigError, match="there is no provider"):
        load_from_python(yaml.safe_load(text), {}, environ={}, directory=tmp_path).checked()
    for environ in ({"LLM_BASE_URL": "http://127.0.0.1:9/v1"}, {"MODEL_PROVIDER_MAP": "a=stub"}, {"GROQ_API_KEY": "k"}):
        assert load(directory=tmp_path, environ=environ).config is not None
    flag = Override(path="llm.base_url", value="http://127.0.0.1:9/v1", source="--base-url")
    assert load(directory=tmp_path, environ={}, overrides=[flag]).config is not None


def test_where_every_variable_counts_as_present_it_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "llmproxy.yaml").write_text("server: {port: 4000}\n")
    (problem,) = load(directory=tmp_path, no_env=True).problems
    assert problem.severity == "warning" and "names no provider" in problem.message


@pytest.mark.parametrize(
    ("names", "there"),
    [
        (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"), True),
        (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"), True),
        (("AWS_PROFILE", "AWS_REGION"), True),
        (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), False),  # for something else, on many machines
        (("AWS_PROFILE",), False),
        (("AWS_REGION",), False),
    ],
)
def test_several_variables_together_bring_a_provider(tmp_path: Path, names: tuple[str, ...], there: bool) -> None:
    loaded = load(directory=tmp_path, environ=dict.fromkeys(names, "eu-west-1"))
    (provider,) = loaded.checked().providers
    assert (provider.type == "bedrock") is there
    if there:
        assert loaded.key_sources["bedrock"] == f"environment variable {names[0]}"


@pytest.mark.parametrize(
    ("more", "keys"),
    [
        ({}, {"gemini": "GOOGLE_API_KEY"}),
        ({"GOOGLE_GENAI_USE_VERTEXAI": "false"}, {"gemini": "GOOGLE_API_KEY"}),
        ({"GOOGLE_GENAI_USE_VERTEXAI": "True"}, {"vertex": "GOOGLE_API_KEY"}),
        ({"GOOGLE_GENAI_USE_ENTERPRISE": "1", "GOOGLE_GENAI_USE_VERTEXAI": "0"}, {"vertex": "GOOGLE_API_KEY"}),
        (
            {"GOOGLE_GENAI_USE_VERTEXAI": "1", "GEMINI_API_KEY": "k"},
            {"gemini": "GEMINI_API_KEY", "vertex": "GOOGLE_API_KEY"},
        ),
        ({"GOOGLE_GENAI_USE_VERTEXAI": "1", "GOOGLE_CLOUD_PROJECT": "p"}, {"vertex": ""}),
    ],
)
def test_the_switch_of_googles_sdk_gives_its_key_to_vertex(
    tmp_path: Path, more: dict[str, str], keys: dict[str, str]
) -> None:
    loaded = load(directory=tmp_path, environ={"GOOGLE_API_KEY": "k", **more})
    assert {each.name for each in loaded.checked().providers} == set(keys)
    for name, variable in keys.items():
        expected = f"environment variable {variable}" if variable else "where Google's libraries look"
        assert loaded.key_sources[name] == expected


def test_what_an_earlier_provider_answers_does_not_fail_over_to_one_that_nobody_configured(tmp_path: Path) -> None:
    (tmp_path / "account.json").write_text("{}")
    google = {"GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "account.json")}
    both = load(directory=tmp_path, environ={"ANTHROPIC_API_KEY": "a", **google}).checked().providers
    assert [(each.name, each.models) for each in both][:1] == [("anthropic", None)]
    assert both[1].name == "vertex" and both[1].models is not None
    assert "claude-*" not in both[1].models and "*-maas" in both[1].models
    (alone,) = load(directory=tmp_path, environ=google).checked().providers
    assert (alone.name, alone.models) == ("vertex", None)
    assert load(directory=tmp_path, environ=google).key_sources == {
        "vertex": "environment variable GOOGLE_APPLICATION_CREDENTIALS"
    }
    for name in google:
        environ = {name: google[name]}
        assert [each.name for each in load(directory=tmp_path, environ=environ).checked().providers] == ["stub"]


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}, "AWS_ACCESS_KEY_ID is set without AWS_REGION"),
        ({"AWS_PROFILE": "work"}, "AWS_PROFILE is set without AWS_REGION"),
        ({"AZURE_OPENAI_API_KEY": "k"}, "AZURE_OPENAI_API_KEY is set without AZURE_OPENAI_ENDPOINT"),
        ({"GOOGLE_CLOUD_PROJECT": "p"}, "GOOGLE_CLOUD_PROJECT is set without GOOGLE_APPLICATION_CREDENTIALS"),
        ({"AWS_REGION": "us-east-1"}, "no key variable is set"),
    ],
)
def test_half_of_the_variables_of_a_provider_are_named(tmp_path: Path, environ: dict[str, str], reason: str) -> None:
    assert load(directory=tmp_path, environ=environ).implicit == f"{reason}, so the stub answers every model"


@pytest.mark.parametrize("key", [{}, {"AZURE_OPENAI_API_KEY": "k"}])
def test_a_token_of_entra_in_the_environment_is_used_where_there_is_no_key(tmp_path: Path, key: dict[str, str]) -> None:
    environ = {"AZURE_OPENAI_ENDPOINT": "https://r.openai.azure.com", "AZURE_OPENAI_AD_TOKEN": "t", **key}
    loaded = load(directory=tmp_path, environ=environ)
    (provider,) = loaded.checked().providers
    assert provider.model_dump()["entra"] is not bool(key)
    assert loaded.key_sources["azure"] == f"environment variable {next(iter(key), 'AZURE_OPENAI_AD_TOKEN')}"
