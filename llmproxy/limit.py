"""The limits and budgets of clients: the values of `limits:` and `budgets:`, and of those of a client key.

Plain values for the hot path; `limit_config.py` has their form in the configuration, `middleware/limits.py` applies
them. Begin reading at `Limit`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LimitKind = Literal["requests", "tokens", "concurrent", "cost"]
LimitScope = Literal["key", "team", "address", "model", "global", "session"]
BudgetPeriod = Literal["day", "week", "month", "total", "session"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitMatch:
    """Selects the requests that are counted: those that fit every list that is not empty.

    All are patterns with `*`. `models` are the names that clients send, of `provider/model` also the name without the
    provider. `keys` and `teams` are those of the client's key, `paths` the paths that clients call, `providers` the
    first that the request would go to.
    """

    models: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()


EVERYTHING = LimitMatch()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most `amount` of `kind` within any `per_s` seconds, counted for each value of `scope` on its own.

    `amount` is in requests, tokens, requests at a time, or USD. `per_s` is 0 for `concurrent`. The scope `key` counts a
    client without a key by its address.
    """

    kind: LimitKind
    amount: float
    per_s: float = 0.0
    scope: LimitScope = "key"
    match: LimitMatch = EVERYTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """At most `max_cost` USD in each `period` of the calendar in `timezone`, counted for each value of `scope`.

    `warn_at` is the share of it at which a warning is due, None for never. `route` is the name of the model that gets
    the requests beyond it; None refuses them.
    """

    max_cost: float
    period: BudgetPeriod
    scope: LimitScope = "global"
    match: LimitMatch = EVERYTHING
    warn_at: float | None = 0.8
    route: str | None = None
    timezone: str = "UTC"
