"""The section `stores:`, and stores that stand in the settings of a middleware. More is in the golden cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmproxy.config.load import Loaded, load
from llmproxy.stores.base import StoreReference
from tests.config.test_json_schema import complaints

MINE = """
from llmproxy.stores.base import StoreConfig
from llmproxy.stores.memory import MemoryStore

class Mine(MemoryStore):
    class Config(StoreConfig):
        flavour: str = "plain"
"""
OWN = """
from llmproxy.middleware.base import Middleware
from llmproxy.stores.base import StoreReference

class Own(Middleware):
    class Config(StoreReference):
        path: str = "its own"
"""


def loaded(directory: Path, text: str, **environ: str) -> Loaded:
    (directory / "mine.py").write_text(MINE)
    (directory / "own.py").write_text(OWN)
    (directory / "llmproxy.yaml").write_text("providers: [{name: a, type: stub}]\n" + text)
    return load(directory=directory, environ=environ)


def store_of(made: Loaded) -> dict[str, object]:
    """Return the settings of the store that the first middleware uses."""
    config = made.checked()
    reference = config.middlewares[0].config
    assert isinstance(reference, StoreReference)
    return config.stores[reference.store].model_dump(exclude_defaults=True)


def test_a_store_of_ones_own_is_named_by_its_file(tmp_path: Path) -> None:
    for text in (
        "stores: {x: {type: './mine.py:Mine', flavour: sour}}\nmiddlewares: [{type: cache, config: {store: x}}]\n",
        "middlewares: [{type: cache, config: {store: {type: './mine.py:Mine', flavour: sour}}}]\n",
    ):
        assert store_of(loaded(tmp_path, text)) == {"type": "./mine.py:Mine", "flavour": "sour"}


def test_a_middleware_of_ones_own_brings_a_store_along_and_keeps_its_own_keys(tmp_path: Path) -> None:
    text = "middlewares: [{type: './own.py:Own', config: {store: redis, url: 'redis://h', path: x}}]\n"
    result = loaded(tmp_path, text)
    assert store_of(result) == {"type": "redis", "url": "redis://h"}
    assert result.checked().middlewares[0].config.model_dump()["path"] == "x"


def test_a_path_stands_beside_the_configuration(tmp_path: Path) -> None:
    for text in ("store: disk:c.sqlite", "store: disk, path: c.sqlite", "store: {type: disk, path: c.sqlite}"):
        result = loaded(tmp_path, f"middlewares: [{{type: cache, config: {{{text}}}}}]\n")
        assert store_of(result)["path"] == str(tmp_path / "c.sqlite")


def test_stores_may_come_from_variables(tmp_path: Path) -> None:
    text = "stores: {x: '${URL}'}\nmiddlewares: [{type: cache, config: {store: '${NAME}'}}]\n"
    result = loaded(tmp_path, text, URL="redis://:pass@h", NAME="x")
    assert store_of(result) == {"type": "redis", "url": "redis://:pass@h"}
    [problem] = loaded(tmp_path, text, URL="rediss://:pass@", NAME="x").problems
    assert "pass" not in str(problem)
    (tmp_path / "llmproxy.yaml").write_text("providers: [{name: a, type: stub}]\n" + text)
    assert load(directory=tmp_path, no_env=True).problems == []


@pytest.mark.parametrize(
    "value",
    [
        {"stores": {"a": "memory", "b": "redis://h", "c": {"type": "redis", "url": "redis://h"}}},
        {"stores": {"d": {"type": "./mine.py:Mine", "flavour": 1}}},
        {"middlewares": [{"type": "cache", "config": {"store": "redis", "url": "redis://h"}}]},
        {"middlewares": [{"type": "cache", "config": {"store": {"type": "disk", "path": "x"}}}]},
    ],
)
def test_editors_know_all_forms(value: object) -> None:
    assert complaints(value) == []


@pytest.mark.parametrize(
    "value",
    [
        {"stores": ["memory"]},
        {"stores": {"a": {"url": "redis://h"}}},
        {"stores": {"a": {"type": "disk", "url": "redis://h"}}},
        {"middlewares": [{"type": "cache", "config": {"store": 3}}]},
    ],
)
def test_editors_refuse_mistakes(value: object) -> None:
    assert complaints(value) != []
