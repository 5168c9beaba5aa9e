from __future__ import annotations

import logging
from typing import Any

import pytest

import llmproxy
from llmproxy import python_app
from llmproxy.config.load import Loaded


@pytest.mark.parametrize(("debug", "level"), [(True, "debug"), (False, "error")])
def test_arguments_of_run_win_over_the_configuration(monkeypatch: pytest.MonkeyPatch, debug: bool, level: str) -> None:
    seen: list[Loaded] = []
    monkeypatch.setattr(python_app, "run", lambda loaded, announce: seen.append(loaded))
    before, ours = list(logging.getLogger().handlers), logging.getLogger("llmproxy")
    settings: dict[str, Any] = {"llm": {"type": "stub"}, "logging": {"level": "error"}}
    try:
        llmproxy.create_app(settings, prometheus_port=9).run(port=7, debug=debug)
    finally:
        ours.setLevel(logging.NOTSET)
    config = seen[0].checked()
    assert (config.server.port, config.logging.level, config.telemetry.metrics_port) == (7, level, 9)
    assert logging.getLogger().handlers == before, "what it set up for itself is taken away again"
