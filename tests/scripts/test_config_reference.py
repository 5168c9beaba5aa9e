"""The reference of the configuration that is written from its schema."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from llmproxy.config.json_schema import config_schema
from scripts.config_reference import OLDER, PATH, page, problems
from scripts.readme import config_keys

SCHEMA: dict[str, Any] = {
    "$defs": {
        "Server": {
            "description": "The server.",
            "properties": {
                "port": {"type": "integer", "default": 3000, "description": "Port."},
                "level": {"enum": ["low", "high"], "default": "low", "description": "How low."},
            },
            "required": ["port"],
        },
        "Echo": {"properties": {"volume": {"type": "integer", "description": "How loud."}}},
    },
    "properties": {
        "server": {"anyOf": [{"$ref": "#/$defs/Server"}, {"type": "null"}]},
        "middlewares": {
            "description": "What watches.",
            "items": {
                "properties": {"type": {"type": "string"}, "config": {"type": "object"}},
                "required": ["type"],
                "allOf": [
                    {
                        "if": {"properties": {"type": {"enum": ["echo"]}}},
                        "then": {"properties": {"config": {"$ref": "#/$defs/Echo"}}},
                    }
                ],
            },
        },
    },
}


def test_a_section_has_a_row_for_each_key_with_its_default_and_its_words() -> None:
    text = page(SCHEMA)
    assert "## server\n\nThe server.\n\n| key | default | meaning |" in text
    assert "| `server.port` | required | Port. |" in text
    assert "| `server.level` | `low` | How low. One of `high`. |" in text, "the text has the other word already"


def test_the_settings_of_a_type_have_a_table_of_their_own() -> None:
    assert (
        "### middlewares: echo\n\n| key | default | meaning |\n| --- | --- | --- |\n| `middlewares.config.volume`"
        in page(SCHEMA)
    )


def test_every_key_of_the_configuration_is_in_the_reference_or_is_one_of_an_older_program() -> None:
    text = page(config_schema())
    rows = set(re.findall(r"^\| `([\w.]+)` \|", text, re.MULTILINE))
    names = {row.rpartition(".")[2] for row in rows}
    missing = {
        key
        for key in config_keys(config_schema())
        if key.split(".")[0] not in OLDER and key.rpartition(".")[2] not in names and "strategy" not in key
    }
    assert missing - set(re.findall(r"^## (\w+)", text, re.MULTILINE)) == set()


def test_a_page_that_differs_is_reported(tmp_path: Path) -> None:
    (tmp_path / PATH).parent.mkdir(parents=True)
    (tmp_path / PATH).write_text(page(config_schema()), encoding="utf-8")
    assert list(problems(tmp_path)) == []
    (tmp_path / PATH).write_text("# Configuration reference\n", encoding="utf-8")
    assert len(list(problems(tmp_path))) == 1
