from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmproxy.config.load import load
from llmproxy.config.override_checks import check_overrides
from llmproxy.middleware.base import Middleware
from llmproxy.middleware.cache import Cache
from llmproxy.providers.base import HttpProvider
from llmproxy.providers.completion import CompletionProvider
from llmproxy.registry import BUILTIN, find_component, names
from llmproxy.route import Strategy
from llmproxy.stores.memory import MemoryStore


def named(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a decorator as users write them: a plain function around an async one."""

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        return function(*arguments)

    return call


class Right(Middleware):
    """Everything as it must be."""

    async def on_request(self, exchange: Any) -> Any: ...

    @named
    async def on_response(self, exchange: Any, answer: Any) -> Any: ...

    @staticmethod
    async def around(exchange: Any, proceed: Any, more: int = 0) -> Any: ...

    def on_chunk(self, *arguments: Any) -> None: ...

    def request(self) -> None: ...

    def closed(self) -> None: ...

    def _on_ende(self) -> None: ...


class Heir(Cache):
    """Changes nothing of ours."""


def made(base: type, **methods: Any) -> type:
    return type("Mine", (base,), {"__module__": "mine", "__doc__": "Made here.", **methods})


async def _one(self: Any, a: Any) -> None: ...
async def _two(self: Any, a: Any, b: Any) -> None: ...
def _plain(self: Any, a: Any) -> None: ...
def _plain_two(self: Any, a: Any, b: Any) -> None: ...
def _yields(self: Any, a: Any) -> Any:
    yield


async def _async_yields(self: Any, a: Any) -> Any:
    yield


def test_what_is_right_and_what_is_ours_has_no_faults() -> None:
    assert check_overrides(Right) == check_overrides(Heir) == []
    for kind in BUILTIN:
        for name in names(kind):
            assert check_overrides(find_component(kind, name, Path())) == []


@pytest.mark.parametrize(
    ("base", "name", "value", "words"),
    [
        (Middleware, "on_request", _plain, "must be async: write `async def on_request(self, exchange)`"),
        (Middleware, "around", _plain_two, "must be async"),
        (Middleware, "start", lambda self: None, "must be async: write `async def start(self)`"),
        (Middleware, "page", _plain, "must be async"),
        (
            Middleware,
            "on_chunk",
            _two,
            "must not be async, as nobody would await it: write `def on_chunk(self, exchang",
        ),
        (Middleware, "on_end", _one, "must not be async"),
        (Middleware, "describe", _one, "must not be async"),
        (Middleware, "on_end", _yields, "contains `yield`"),
        (Middleware, "on_request", _async_yields, "contains `yield`"),
        (Middleware, "on_response", _one, "has other parameters; write `on_response(self, exchange, answer)`"),
        (Middleware, "on_end", _plain_two, "has other parameters; write `on_end(self, exchange)`"),
        (Middleware, "on_end", staticmethod(_plain_two), "has other parameters; write `on_end(exchange)`"),
        (Middleware, "on_end", "text", "on_end must be a method, not a str"),
        (CompletionProvider, "create_completion", _plain, "must be async"),
        (HttpProvider, "prepare", _two, "must not be async"),
        (HttpProvider, "ready", lambda self: None, "must be async"),
        (HttpProvider, "forwarded_credentials", _one, "must not be async"),
        (Strategy, "order", _two, "must not be async"),
        (Strategy, "report", _plain, "has other parameters; write `report(self, target, outcome)`"),
        (MemoryStore, "start", lambda self: None, "must be async"),
    ],
)
def test_a_method_that_cannot_work_is_an_error_with_its_line(base: type, name: str, value: Any, words: str) -> None:
    [fault] = check_overrides(made(base, **{name: value}))
    assert words in fault.message and name in fault.message and not fault.warning
    assert f"({__file__}, line " in fault.message or value == "text"


@pytest.mark.parametrize(
    ("base", "name", "words"),
    [
        (Middleware, "on_respones", "did you mean 'on_response'?"),
        (Middleware, "onRequest", "did you mean 'on_request'?"),
        (Middleware, "on_requests", "did you mean 'on_request'?"),
        (Middleware, "on_error", "the hooks are on_request, around, on_response, on_chunk, on_end"),
        (Middleware, "arround", "did you mean 'around'?"),
        (Middleware, "clsoe", "did you mean 'close'?"),
        (CompletionProvider, "create_completions", ""),
        (CompletionProvider, "raedy", "did you mean 'ready'?"),
        (Strategy, "ordr", "did you mean 'order'?"),
        (Middleware, "started", ""),
        (Middleware, "online", ""),
    ],
)
def test_a_name_that_is_nearly_right_is_a_warning(base: type, name: str, words: str) -> None:
    methods = {"on_end": _plain} if base is Middleware else {}
    found = check_overrides(made(base, **methods, **{name: _plain}))
    assert [fault.warning for fault in found] == ([True] if words else [])
    assert not words or f"{name} is never called by llmproxy; {words}" in found[0].message


def test_a_middleware_without_a_hook_is_a_warning() -> None:
    [fault] = check_overrides(made(Middleware, request=_plain))
    assert fault.warning and "Mine overrides no hook, so it does nothing" in fault.message
    assert check_overrides(made(Middleware, start=Middleware.start)) == []


def test_the_configuration_says_it_with_the_entry(tmp_path: Path) -> None:
    (tmp_path / "tag.py").write_text(
        "from llmproxy.middleware.base import Middleware\n\n\nclass Tag(Middleware):\n"
        "    def on_request(self, exchange):\n        pass\n\n"
        "    async def on_respones(self, exchange, answer):\n        pass\n"
    )
    config = "providers: [{name: s, type: stub}]\nmiddlewares:\n  - type: ./tag.py:Tag\n"
    (tmp_path / "llmproxy.yaml").write_text(config)
    loaded = load("llmproxy.yaml", directory=tmp_path, environ={})
    file = tmp_path / "tag.py"
    assert sorted(map(str, loaded.problems)) == [
        f"llmproxy.yaml:3:11: middlewares[0].type: on_request must be async: write "
        f"`async def on_request(self, exchange)` ({file}, line 5)",
        f"llmproxy.yaml:3:11: middlewares[0].type: warning: on_respones is never called by llmproxy; "
        f"did you mean 'on_response'? ({file}, line 8)",
    ]
    assert loaded.config is None
