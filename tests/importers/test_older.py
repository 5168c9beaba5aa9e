from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from llmproxy.config.load import load
from llmproxy.config.problems import ConfigError
from llmproxy.importers.conversion import Conversion, import_file

REFERENCE = "providers: [{name: a, type: openai, api_key: os.environ/KEY}]\n"


def converted(directory: Path, text: str, name: str = "llmproxy.yaml") -> Conversion:
    (directory / name).write_text(text)
    return import_file(directory / name, name)


def settings(directory: Path, text: str, environ: dict[str, str]) -> object:
    """Return the settings of a file; a store within those of a middleware is named after its place."""
    (directory / "llmproxy.yaml").write_text(text)
    loaded = load("llmproxy.yaml", directory=directory, environ=environ)
    content = json.dumps(loaded.checked().model_dump(mode="json", exclude={"directory"}))
    return content.replace("(general_settings.cache)", "STORE").replace("(middlewares[0].config)", "STORE")


@pytest.mark.parametrize("name", ["older-model-groups/llmproxy.yaml", "older-sections/config.yaml"])
def test_the_outcome_configures_what_the_source_did(name: str, tmp_path: Path) -> None:
    text = (Path(__file__).parent.parent / "golden" / "import" / name).read_text()
    text = re.sub(r"(hunter2|sk-)[\w-]+", "same", text).replace("  http_pool: 7\n", "")
    conversion = converted(tmp_path, text)
    environ = dict.fromkeys(("OPENAI_API_KEY", "REDIS_PASSWORD", "AZURE_KEY", "ANTHROPIC_API_KEY"), "same")
    assert settings(tmp_path, conversion.text, environ) == settings(tmp_path, text, environ)


def test_a_reference_in_the_older_form_is_written_in_that_of_today(tmp_path: Path) -> None:
    conversion = converted(tmp_path, REFERENCE)
    assert 'api_key: "${KEY}"' in conversion.text and conversion.complete


def test_an_unknown_key_is_unsupported_and_left_out(tmp_path: Path) -> None:
    conversion = converted(tmp_path, REFERENCE + "server: {port: 1, prt: 2}\n")
    (finding,) = [each for each in conversion.findings if each.grade == "unsupported"]
    assert (finding.line, finding.key) == (2, "server.prt") and "prt: 2" not in conversion.text


def test_a_mistake_in_the_source_is_reported_instead(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"server\.port: must be a whole number"):
        converted(tmp_path, REFERENCE + "server: {port: x}\n")
    with pytest.raises(ConfigError, match="invalid entry"):
        converted(tmp_path, "MODEL_PROVIDER_MAP=x\n", ".env")


def test_variables_become_settings_and_credentials_stay_variables(tmp_path: Path) -> None:
    text = (
        "LLM_BASE_URL=https://api.openai.com\nexport LLM_API_KEY=sk-1234567\nLOG_LEVEL='debug'\nENABLE_TELEMETRY=true\n"
    )
    conversion = converted(tmp_path, text, "prod.env")
    assert conversion.complete and "sk-1234567" not in conversion.text
    assert 'llm: {base_url: "https://api.openai.com", api_key: "${LLM_API_KEY}"}' in conversion.text
    assert "telemetry: {enabled: true}" in conversion.text
    environ = {"LLM_API_KEY": "sk-1234567"}
    assert settings(tmp_path, conversion.text, environ) == settings(
        tmp_path,
        "{}",
        {"LLM_BASE_URL": "https://api.openai.com", "LOG_LEVEL": "debug", "ENABLE_TELEMETRY": "true"} | environ,
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("LLM_BASE_URL=https://one.test/v1\nOPENAI_API_KEY=k\n", "`llm` takes every request; to use it too, add"),
        ("LLM_PROVIDER=stub\nAZURE_OPENAI_API_KEY=k\n", "other variables of that provider are missing"),
    ],
)
def test_a_variable_of_a_provider_that_is_not_used_is_known(tmp_path: Path, text: str, reason: str) -> None:
    conversion = converted(tmp_path, text, ".env")
    assert conversion.complete and conversion.findings[-1].message.startswith(f"without effect: {reason}")


def test_numbers_of_a_limit_that_is_switched_off_are_no_loss(tmp_path: Path) -> None:
    text = "RATE_LIMIT_ENABLED=false\nRATE_LIMIT_WINDOW_SECONDS=60\nRATE_LIMIT_MAX_REQUESTS=60\nLLM_PROVIDER=stub\n"
    conversion = converted(tmp_path, text, ".env")
    assert {each.grade for each in conversion.findings} == {"exact"} and "limits" not in conversion.text
