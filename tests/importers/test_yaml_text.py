from __future__ import annotations

from typing import Any

import pytest
import yaml

from llmproxy.config.document import parse_yaml
from llmproxy.importers.yaml_text import comment, write_yaml

VALUES: list[Any] = [
    *("plain", "on", "yes", "null", "1", "1.5", "2024-10-21", "30s", "a: b", "#x", "", " x", "${A}", "a/b", "-", "~"),
    *("tab\t", "two\nlines", "\x7f\x85\u2028\u2029\ufeff", "\U0001f600", "'\"\\", "*", "&a", "!t", "%", "@", "`"),
    *(1, 2.5, 1e-9, True, False, None, [], {}, [1, "a"], {"x": {"y": [{"z": "1"}]}}),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_both_versions_of_yaml_read_what_was_written(value: Any) -> None:
    config = {"section": {"key": value, "long": {"x" * 90: [value, {"a": value, "b" * 90: value}]}}, "last": [[value]]}
    text = write_yaml(config, {})
    tree, problems = parse_yaml(text, "x")
    assert tree is not None and not problems
    assert yaml.safe_load(text) == config
    if value is not None:
        assert tree.plain() == config


def test_sections_stand_apart_and_short_blocks_on_a_line() -> None:
    config = {"server": {"port": 1}, "models": [{"name": "a", "targets": ["x/y"]}]}
    assert write_yaml(config, {}) == "\nserver: {port: 1}\n\nmodels:\n  - {name: a, targets: [x/y]}\n"


def test_a_comment_stands_above_its_key() -> None:
    entry = {"name": "a", "type": "b"}
    config = {"providers": [entry], "server": {"port": 1}}
    comments = {(id(entry), "name"): ["first"], (id(entry), "type"): ["second"], (id(config), "server"): ["third"]}
    expected = """
providers:
  # first
  - name: a
    # second
    type: b

# third
server: {port: 1}
"""
    assert write_yaml(config, comments) == expected


@pytest.mark.parametrize("sign", ["\n", "\r", "\x85", "\u2028", "\0", "\x1b"])
def test_nothing_leaves_its_comment(sign: str) -> None:
    lines = comment(f"a{sign}server: 1")
    assert parse_yaml("".join(f"{line}\n" for line in lines) + "b: 1\n", "x")[0].plain() == {"b": 1}  # type: ignore[union-attr]  # it is valid


def test_long_comments_are_wrapped_between_words() -> None:
    assert [len(line) <= 100 for line in comment("word " * 50, "    ")] == [True, True, True]
