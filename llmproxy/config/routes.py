"""Read `models:` and `routing:`, whose strategies are read by the classes that their types name.

Begin reading at `read_models`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from llmproxy.config.components import read_component
from llmproxy.config.document import ConfigNode
from llmproxy.config.problems import Problem
from llmproxy.config.routing_schema import ModelConfig, RoutingConfig, StrategyConfig
from llmproxy.config.validate import read_model, wrong_kind
from llmproxy.registry import config_of
from llmproxy.settings import Strict

M = TypeVar("M", bound=Strict)

_STRATEGY = "strategy"


def read_models(section: ConfigNode, directory: Path) -> tuple[list[ModelConfig] | None, list[Problem]]:
    """Read the entries of `models:`."""
    if not isinstance(section.value, list):
        return None, [wrong_kind(section, "list")]
    read = [_read(entry, ModelConfig, directory) for entry in section.items]
    models = [model for model, _ in read if model is not None]
    return models, [problem for _, problems in read for problem in problems]


def read_routing(section: ConfigNode, directory: Path) -> tuple[RoutingConfig | None, list[Problem]]:
    """Read the section `routing:`."""
    return _read(section, RoutingConfig, directory)


def _read(node: ConfigNode, model: type[M], directory: Path) -> tuple[M | None, list[Problem]]:
    """Read a block that may have a strategy."""
    if not isinstance(node.value, dict):
        return None, [wrong_kind(node, "model")]
    rest = {name: each for name, each in node.value.items() if name != _STRATEGY}
    outer = ConfigNode(value=rest, mark=node.mark, key=node.key, key_mark=node.key_mark)
    config, problems = read_model(outer, model, directory)
    strategy = node.value.get(_STRATEGY)
    if strategy is None or strategy.blank or strategy.stand_in:
        return config, problems
    chosen, more = _read_strategy(strategy, directory)
    if config is None or chosen is None:
        return None, [*problems, *more]
    return config.model_copy(update={_STRATEGY: chosen}), [*problems, *more]


def _read_strategy(node: ConfigNode, directory: Path) -> tuple[StrategyConfig | None, list[Problem]]:
    """Read `strategy: weighted`, or a block of its type and its options."""
    if isinstance(node.value, dict):
        entry = node
    elif node.word is not None:
        type_ = ConfigNode(value=node.word, mark=node.mark, key=node.key, literal=True)
        entry = ConfigNode(value={"type": type_}, mark=node.mark, key=node.key)
    else:
        return None, [wrong_kind(node, "string")]
    component, problems = read_component("strategies", entry, directory)
    if component is None or not isinstance(entry.value, dict):
        return None, problems
    options = {name: each for name, each in entry.value.items() if name != "type"}
    settings, more = read_model(
        ConfigNode(value=options, mark=node.mark, key=node.key), config_of(component), directory
    )
    name = entry.value["type"].word or ""
    problems = [*problems, *more]
    return (None if settings is None else StrategyConfig(type=name, config=settings)), problems
