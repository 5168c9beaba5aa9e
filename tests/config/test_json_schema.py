from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # its stubs would be one more package
import pytest
import yaml

from llmproxy.config.generate import generate
from llmproxy.config.json_schema import config_schema
from llmproxy.config.presets import Preset
from tests.config.test_golden import CASES, DASHES

VALIDATOR = jsonschema.Draft7Validator(config_schema())


def complaints(value: Any) -> list[str]:
    return [error.json_path for error in VALIDATOR.iter_errors(value)]


def test_it_is_a_schema() -> None:
    jsonschema.Draft7Validator.check_schema(config_schema())


@pytest.mark.parametrize("preset", list(Preset))
def test_what_is_generated_fits(preset: Preset) -> None:
    assert complaints(yaml.safe_load(generate(preset))) == []


FINE = [case for case in CASES if case.read_text(encoding="utf-8").partition(DASHES)[2].endswith("}\n")]
# Text that YAML takes for numbers, and keys without values: editors are told about those, the program is not so strict.
STRICTER = ("yaml-1.1-words", "target-forms", "nothing-behind-a-key", "older-keys-beside-nothing")
FINE = [case for case in FINE if case.stem not in STRICTER]


@pytest.mark.parametrize("case", FINE, ids=lambda case: case.stem)
def test_what_the_program_takes_fits(case: Path) -> None:
    assert complaints(yaml.safe_load(case.read_text(encoding="utf-8").partition(DASHES)[0])) == []


def provider(**keys: object) -> dict[str, object]:
    return {"providers": [{"name": "a", "type": "openai", **keys}]}


@pytest.mark.parametrize(
    "value",
    [
        {"server": {"port": "${PORT}", "max_body_size": "${SIZE:-1MB}", "host": "${HOST}"}},
        {"server": {"port": "os.environ/PORT", "shutdown_timeout": "1h30m", "max_upload_size": "none"}},
        {"logging": {"level": "${LEVEL}"}, "middlewares": None},
        provider(enabled="${ON}", priority="${P}", auth="${AUTH}", timeouts={"idle": "${T}", "total": "none"}),
        provider(type="ollama", dialects=["chat", "${MORE}"]),
        provider(type="./mine.py:Mine", whatever=[1]),
        provider(type="openai-compatible", base_url="http://x"),
        {"llm": {"base_url": "http://x"}},
        {"llm": {"type": "ollama"}},
        {"models": [{"name": "x", "targets": ["a/b", {"provider": "a"}]}]},
        {"middlewares": [{"type": "./tag.py:Tag", "enabled": False, "config": {"x": 1}}]},
        {"middlewares": [{"type": "trace"}, {"type": "trace", "config": {"max_age": "30d", "sample": "${PART}"}}]},
    ],
)
def test_what_is_right_fits(value: object) -> None:
    assert complaints(value) == []


@pytest.mark.parametrize(
    "value",
    [
        {"sever": {}},
        {"server": {"prt": 1}},
        {"server": {"port": "many"}},
        {"server": {"port": 70000}},
        {"server": {"max_body_size": "64XB"}},
        {"logging": {"level": "loud"}},
        provider(apikey="x"),
        provider(type="ollama", dialects=["latin"]),
        provider(type="openai-compatible"),
        provider(timeouts={"conect": "1s"}),
        {"providers": [{"type": "openai"}]},
        {"llm": {"api_key": "x"}},
        {"llm": {"type": "openai", "name": "x"}},
        {"models": [{"name": "x"}]},
        {"models": [{"name": "x", "targets": []}]},
        {"middlewares": [{"config": {}}]},
        {"middlewares": [{"type": "trace", "config": {"directry": "x"}}]},
        {"general_settings": {"num_retry": 3}},
    ],
)
def test_what_is_wrong_does_not_fit(value: object) -> None:
    assert complaints(value) != []


def test_defaults_are_shown_as_people_write_them() -> None:
    properties = config_schema()["$defs"]["ServerConfig"]["properties"]
    assert properties["max_body_size"]["default"] == "64MB"
    assert properties["shutdown_timeout"]["default"] == "30s"
    assert properties["max_upload_size"]["default"] == "none"


def test_older_spellings_are_marked() -> None:
    properties = config_schema()["properties"]
    assert properties["interceptors"]["deprecated"] is True
    assert properties["general_settings"]["anyOf"][0]["properties"]["bind_port"]["deprecated"] is True
