"""Differences of configurations in words, and what cannot change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmproxy.config.changes import describe_changes, keep_fixed
from llmproxy.config.load import Loaded, load_from_python

MAIN = {"name": "main", "type": "openai", "api_key": "sk-1"}
OTHER = {"name": "other", "type": "stub"}


def loaded(directory: Path, **sections: Any) -> Loaded:
    return load_from_python({"providers": [MAIN, OTHER], **sections}, {}, environ={}, directory=directory)


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ({}, {}, []),
        ({}, {"providers": [OTHER]}, ["provider 'main' removed"]),
        ({}, {"providers": [OTHER, MAIN]}, ["order of the providers changed"]),
        ({}, {"providers": [{**MAIN, "api_key": "sk-2", "priority": 3}, OTHER]}, ["main' changed: priority, api_key"]),
        ({}, {"middlewares": [{"type": "cache"}, {"type": "cache"}]}, ["'cache' added", "'cache (1)' added"]),
        (
            {"middlewares": [{"type": "cache", "config": {"ttl": "1h"}}]},
            {"middlewares": [{"type": "cache", "config": {"ttl": "2h"}}]},
            ["middleware 'cache' changed: config.ttl"],
        ),
        ({}, {"stores": {"default": "disk"}}, ["store 'default' added"]),
        (
            {},
            {"auth": {"mode": "keys", "keys": [{"name": "ci", "key": "client-key-1"}]}},
            ["'ci' added", "auth.mode changed"],
        ),
        ({}, {"limits": [{"requests": 1, "per": "1s"}]}, ["limits added"]),
        ({"limits": [{"requests": 1, "per": "1s"}]}, {}, ["limits removed"]),
        ({}, {"logging": {"level": "debug"}}, ["logging.level changed"]),
        ({}, {"models": [{"name": f"m{each}", "targets": ["main/x"]} for each in range(30)]}, 21),
    ],
)
def test_each_difference_has_a_sentence(
    tmp_path: Path, before: dict[str, Any], after: dict[str, Any], changes: list[str] | int
) -> None:
    found = describe_changes(loaded(tmp_path, **before), loaded(tmp_path, **after))
    if isinstance(changes, int):
        assert len(found) == changes and found[-1] == "10 more"
        return
    assert len(found) == len(changes)
    assert all(expected in each for each, expected in zip(found, changes, strict=True)), found


def test_host_and_port_stay_as_they_are(tmp_path: Path) -> None:
    before = loaded(tmp_path).checked()
    after = loaded(tmp_path, server={"port": 1, "host": "::1", "admin_key": "long-enough"}).checked()
    kept, reasons = keep_fixed(before, after)
    assert (kept.server.host, kept.server.port) == ("127.0.0.1", 3000) and kept.server.admin_key is not None
    assert [each.partition(" ")[0] for each in reasons] == ["server.host", "server.port"]
    assert keep_fixed(before, before) == (before, [])
