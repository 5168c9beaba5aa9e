"""`llmproxy prices`: what a model costs, and another table."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from llmproxy.cli import app
from llmproxy.pricing.price_table import EMBEDDED, embedded_table, read_table, user_table
from scripts.prices import raw_providers

CONFIG = """
providers:
  - {name: eu, type: openai, base_url: "http://127.0.0.1:1/v1", prices: {"gpt-4o": {input: 2.75, output: 11}}}
  - {name: local, type: ollama}
prices:
  llama*: {input: 0, output: 0}
"""


@pytest.fixture(autouse=True)
def own_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["prices", *arguments])


def test_the_price_of_a_model_is_shown_with_its_source_and_date() -> None:
    done = run("show", "claude-opus-5", "--provider", "anthropic")
    assert done.exit_code == 0 and "anthropic: claude-opus-5-latest, " in done.output
    assert "  input             $5 for a million tokens\n" in done.output
    assert "  tier batch\n    input             $2.5 for a million tokens\n" in done.output
    table = embedded_table()
    assert f"source: anthropic, {table.source}, {table.date}" in done.output


def test_without_a_provider_all_lists_that_know_it_are_shown() -> None:
    shown = json.loads(run("show", "claude-sonnet-4-5", "--json").output)
    assert {each["provider"] for each in shown["prices"]} >= {"anthropic", "google"}
    azure = json.loads(run("show", "gpt-4o", "--provider", "azure", "--json").output)
    assert [each["provider"] for each in azure["prices"]] == ["azure"] and azure["prices"][0]["prices"]["input"] == 2.5


def test_the_prices_of_a_configuration_are_shown_by_its_providers(tmp_path: Path) -> None:
    file = tmp_path / "llmproxy.yaml"
    file.write_text(CONFIG)
    shown = json.loads(run("show", "gpt-4o", "--config", str(file), "--json").output)["prices"]
    assert [(each["provider"], each["source"], each["prices"]["input"]) for each in shown] == [
        ("eu", "the configuration", 2.75)
    ]
    free = run("show", "llama3:8b", "--config", str(file), "--provider", "local")
    assert "input             $0 for" in free.output


@pytest.mark.parametrize(
    "arguments", [["nope"], ["gpt-4o", "--provider", "ollama"], ["gpt-4o", "--provider", "nobody"]]
)
def test_an_unknown_price_is_an_error_that_says_what_to_do(arguments: list[str]) -> None:
    done = run("show", *arguments)
    assert done.exit_code == 1 and "is known. Set one in the section `prices`" in done.output


def test_a_table_of_ours_is_written_to_its_place(tmp_path: Path) -> None:
    table = msgspec.json.decode(EMBEDDED.read_bytes())
    (tmp_path / "mine.json").write_bytes(msgspec.json.encode({**table, "source": "mine"}))
    done = run("update", "--from", str(tmp_path / "mine.json"))
    assert done.exit_code == 0 and str(user_table()) in done.output.replace("\n", "")
    assert read_table().source == "mine"


def test_the_data_of_genai_prices_is_converted(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text(json.dumps(raw_providers()))
    assert run("update", "--from", str(tmp_path / "data.json")).exit_code == 0
    table = read_table()
    assert table.source == "genai-prices, data.json" and table.check() == embedded_table().check()


@pytest.mark.parametrize("content", [None, "", "[]", '{"lists": 1}', '[{"models": [1], "id": "x"}]'])
def test_what_is_no_table_changes_nothing(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    if content is not None:
        file.write_text(content)
    done = run("update", "--from", str(file))
    assert done.exit_code == 1 and str(file) in done.output.replace("\n", "") and not user_table().exists()
