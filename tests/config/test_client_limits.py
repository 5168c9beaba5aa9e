from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmproxy.config.client_limits import build_limits, hook_order
from llmproxy.config.load import load_from_python
from llmproxy.config.schema import Config
from llmproxy.middleware.base import Middleware
from llmproxy.middleware.sessions import Sessions
from llmproxy.pricing.prices import Prices
from llmproxy.server.reuse import Reuse
from llmproxy.stores.disk import DiskStore
from llmproxy.stores.open_stores import Stores

SESSION = {"max_cost": 1, "per": "session"}
JWT = {"secret": "s" * 32, "claims": {"limits": "limits"}}


def config_of(**sections: Any) -> Config:
    stub = {"providers": [{"name": "stub", "type": "stub"}]}
    return load_from_python(stub | sections, {}, environ={}, directory=Path()).checked()


def test_without_limits_and_budgets_there_is_no_middleware() -> None:
    assert build_limits(config_of(), Reuse(Stores()), Prices()) == []


@pytest.mark.parametrize(
    ("auth", "some"),
    [
        ({"keys": [{"name": "ci", "key": "sk-12345678"}]}, False),
        ({"keys": [{"name": "ci", "key": "sk-12345678", "limits": [{"requests": 1}]}]}, True),
        ({"keys": [{"name": "ci", "key": "sk-12345678", "budgets": [SESSION]}]}, True),
        ({"jwt": JWT}, True),
    ],
)
def test_limits_of_clients_need_it_too(auth: object, some: bool) -> None:
    assert bool(build_limits(config_of(auth=auth), Reuse(Stores()), Prices())) is some


@pytest.mark.parametrize(
    ("sections", "warns"),
    [
        ({"limits": [{"requests": 1}]}, False),
        ({"budgets": [SESSION]}, True),
        ({"budgets": [SESSION], "quotas": {"store": "disk"}}, False),
        ({"auth": {"keys": [{"name": "ci", "key": "sk-12345678", "budgets": [SESSION]}]}}, True),
    ],
)
async def test_budgets_that_a_restart_forgets_are_said_at_the_start(
    sections: Any, warns: bool, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    config = config_of(**sections)
    stores = Stores(configured={"disk": (DiskStore, DiskStore.Config(type="disk", path=str(tmp_path / "x")))})
    ((_, limits),) = build_limits(config, Reuse(stores), Prices())
    await limits.start()

    assert ("start again from zero when llmproxy restarts" in caplog.text) is warns


def test_a_budget_of_a_key_names_a_model_that_exists() -> None:
    budget = {"max_cost": 1, "per": "day", "on_exceeded": {"route": "cheep"}}
    auth = {"keys": [{"name": "ci", "key": "sk-12345678", "budgets": [budget]}]}
    stub = {"providers": [{"name": "stub", "type": "stub"}]}
    problems = load_from_python(stub | {"auth": auth}, {}, environ={}, directory=Path()).problems

    assert [each.key for each in problems] == ["auth.keys[0].budgets[0].on_exceeded.route"]


@pytest.mark.parametrize(
    ("sections", "order"),
    [
        ({"limits": [{"requests": 1}]}, ["limits", "own", "sessions", "own"]),
        ({"budgets": [SESSION]}, ["own", "sessions", "limits", "own"]),
        ({"limits": [{"requests": 1, "scope": "session"}]}, ["own", "sessions", "limits", "own"]),
        ({"auth": {"jwt": JWT}}, ["own", "sessions", "limits", "own"]),
    ],
)
def test_limits_come_first_but_after_the_sessions_that_they_count(sections: Any, order: list[str]) -> None:
    config = config_of(**sections)
    own = ("own", Middleware(Middleware.Config()))
    sessions = ("sessions", Sessions(Sessions.Config()))
    limits = build_limits(config, Reuse(Stores()), Prices())

    assert [name for name, _ in hook_order(config, limits, [own, sessions, own])] == order


def test_sessions_that_only_a_header_names_need_no_other_middleware() -> None:
    config = config_of(budgets=[SESSION])
    limits = build_limits(config, Reuse(Stores()), Prices())

    assert [name for name, _ in hook_order(config, limits, [])] == ["limits"]
