"""Replacing the configuration in effect; the program as a whole is in the acceptance tests."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import cast

import pytest

from llmproxy.app import build
from llmproxy.config.load import load, load_from_python
from llmproxy.errors import ProxyError
from llmproxy.reload import Replacement, export_dotenv
from llmproxy.server.reloading import ReloadFailed
from llmproxy.server.runtime import Runtime
from llmproxy.server.shared import Shared
from llmproxy.state import State


async def test_a_configuration_from_python_cannot_be_loaded_again() -> None:
    def build(loaded: object) -> Runtime:
        raise AssertionError

    loaded = load_from_python({"providers": [{"name": "s", "type": "stub"}]}, {}, environ={})
    with pytest.raises(ProxyError, match="passed from Python"):
        await Replacement(loaded, cast(Shared, None), build, lambda runtime: None).apply()


async def test_a_part_that_does_not_start_changes_no_limit_and_no_breaker(tmp_path: Path) -> None:
    good = """
providers: [{name: a, type: stub}, {name: b, type: stub}]
models: [{name: m, targets: [a, b]}]
"""
    file = tmp_path / "x.yaml"
    file.write_text(good)
    loaded = await asyncio.to_thread(load, "x.yaml", directory=tmp_path, environ={})
    state = State(loaded.checked().server.max_held_bytes)
    runtime = build(loaded, state)
    await runtime.start()
    state.shared = shared = Shared(runtime, state.metrics, state.budget)
    file.write_text(
        good
        + """
server: {max_held_bytes: 1MB}
routing: {breaker: {failures: 77}}
stores: {default: {type: disk, path: /dev/null/x.sqlite}}
"""
    )
    with pytest.raises(ReloadFailed, match="sqlite"):
        await Replacement(loaded, shared, lambda again: build(again, state), state.release).apply()
    assert shared.runtime is runtime and state.budget.limit_bytes == 512 * 1024 * 1024
    assert {each.breaker.settings.failures for each in state.health.all()} == {5}
    await runtime.retire()
    await state.close()


def test_variables_of_a_changed_env_file_follow_it_but_never_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"OWN": "1"})
    export_dotenv({}, {"OWN": "2", "A": "a", "B": "b"})
    export_dotenv({"OWN": "2", "A": "a", "B": "b"}, {"OWN": "3", "A": "aa"})
    assert dict(os.environ) == {"OWN": "1", "A": "aa"}
