"""The table of prices: what is embedded, and what a user puts in its place."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
import pytest

from llmproxy.pricing.price_table import PriceTable, embedded_table, read_table, user_table

TABLE = {
    "source": "my list",
    "date": "2026-01-02",
    "types": {"bedrock": "aws"},
    "lists": {
        "aws": {"hosts": r"https://bedrock\.test", "models": [{"names": ["m"], "prices": {"input": 1, "output": 2}}]},
        "openai": {
            "hosts": r"https://api\.openai\.com",
            "models": [{"names": ["gpt"], "prices": {"input": 3}, "tiers": {"flex": {"input": 1}}}],
        },
        "azure": {"hosts": "(", "also": ["openai", "gone"], "models": []},
        "router": {"hosts": r"https://router\.test", "reports_cost": True, "models": []},
    },
}


def table() -> PriceTable:
    return PriceTable(msgspec.json.encode(TABLE))


@pytest.mark.parametrize(
    ("type_", "url", "name"),
    [
        ("openai", "https://api.openai.com/v1", "openai"),
        ("openai", "http://127.0.0.1:9/v1", "openai"),
        ("openai", "https://router.test/v1", "router"),
        ("openai-compatible", "https://router.test/v1", "router"),
        ("openai-compatible", "http://localhost:1234/v1", None),
        ("ollama", "http://localhost:11434", None),
        ("bedrock", "https://bedrock-runtime.us-east-1.amazonaws.com", "aws"),
        ("bedrock", None, "aws"),
        ("azure", "https://x.openai.azure.com", "azure"),
    ],
)
def test_the_address_of_a_vendor_decides_then_the_type(type_: str, url: str | None, name: str | None) -> None:
    assert table().list_for(type_, url) == name


def test_a_list_has_the_standard_prices_of_others_whose_models_it_sells() -> None:
    price = table().price("azure", "gpt")
    assert price is not None and price.source == "openai, my list, 2026-01-02"
    assert price.row.prices.input == 3 and not price.row.tiers
    assert table().price("azure", "m") is None


def test_every_price_of_the_embedded_table_can_be_read() -> None:
    assert embedded_table().check() > 1500
    assert {"openai", "anthropic", "aws", "google", "azure", "openrouter"} <= set(embedded_table().names())


def write_user_table(content: bytes) -> Path:
    path = user_table()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_the_users_table_replaces_the_embedded_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert read_table() is embedded_table()
    write_user_table(msgspec.json.encode(TABLE))
    assert read_table().source == "my list"


@pytest.mark.parametrize("content", [b"", b"[]", b'{"source": 1}'])
def test_a_table_that_cannot_be_read_is_reported_and_not_used(
    content: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    path = write_user_table(content)
    with caplog.at_level(logging.WARNING):
        assert read_table() is embedded_table()
    assert str(path) in caplog.text
