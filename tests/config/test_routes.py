from __future__ import annotations

from pathlib import Path

from llmproxy.config.load import load

STRATEGY = """
from pydantic import Field
from llmproxy.route import Strategy
from llmproxy.settings import Strict

class Mine(Strategy):
    class Config(Strict):
        step: int = Field(default=1, description="A step.")

    def __init__(self, config):
        self.step = config.step
"""
PROVIDERS = "providers: [{name: a, type: stub}]\n"


def loaded(directory: Path, text: str) -> list[str]:
    (directory / "x.yaml").write_text(PROVIDERS + text)
    (directory / "mine.py").write_text(STRATEGY)
    return [str(problem) for problem in load("x.yaml", directory=directory, environ={}).problems]


def test_a_strategy_of_ones_own_is_read_with_its_options(tmp_path: Path) -> None:
    text = "models: [{name: m, targets: [a], strategy: {type: './mine.py:Mine', step: %s}}]\n"
    assert loaded(tmp_path, text % 3) == []
    [problem] = loaded(tmp_path, text % "x")
    assert problem == "x.yaml:2:75: models[0].strategy.step: must be a whole number, not 'x'"


def test_a_variable_may_name_the_strategy(tmp_path: Path) -> None:
    assert loaded(tmp_path, "routing: {strategy: '${S:-weighted}', retries: '${R:-3}'}\n") == []
