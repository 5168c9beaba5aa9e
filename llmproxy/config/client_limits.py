"""Make the middleware of limits and budgets from the configuration, and find its place among the others."""

from __future__ import annotations

from collections.abc import Sequence

from llmproxy.config.auth import AuthConfig, Grants, KeyConfig
from llmproxy.config.schema import Config
from llmproxy.limit import Budget, Limit
from llmproxy.middleware.base import Middleware
from llmproxy.middleware.limits import ClientLimits
from llmproxy.pricing.prices import Prices
from llmproxy.server.reuse import Reuse
from llmproxy.stores.open_stores import Stores

Named = list[tuple[str, Middleware]]


def build_limits(config: Config, reuse: Reuse, prices: Prices, file_keys: Sequence[KeyConfig] = ()) -> Named:
    """Return the middleware with its name, its stores opened; nothing when there can be no limits and budgets.
    `file_keys` are the keys in `auth.keys_file`."""
    rules = _rules(config)
    clients = _of_clients(config, file_keys)
    if not (rules or clients or _unknown(config.auth)):
        return []
    budgets = any(isinstance(rule, Budget) for rule in (*rules, *clients))

    def make(stores: Stores) -> ClientLimits:
        limits = ClientLimits(config.quotas, rules, prices, budgets=budgets)
        limits.use_stores(stores)
        return limits

    return [("limits", reuse.take((ClientLimits, config.quotas, rules, prices, budgets), make))]


def hook_order(config: Config, limits: Named, middlewares: Sequence[tuple[str, Middleware]]) -> Named:
    """Return all middlewares in the order of their hooks: limits first, but after the one that recognises sessions
    where a limit or budget counts sessions, or may do so."""
    first = 0
    if _unknown(config.auth) or any(rule.scope == "session" for rule in (*_rules(config), *_of_clients(config))):
        first = next((place + 1 for place, (type_, _) in enumerate(middlewares) if type_ == "sessions"), 0)
    return [*middlewares[:first], *limits, *middlewares[first:]]


def _rules(config: Config) -> list[Limit | Budget]:
    return [*(each.limit() for each in config.limits), *(each.budget() for each in config.budgets)]


def _of_clients(config: Config, file_keys: Sequence[KeyConfig] = ()) -> list[Limit | Budget]:
    """Return the limits and budgets of all client keys, and of the tokens, that are known at the start."""
    tokens = [] if config.auth.jwt is None else [config.auth.jwt]
    grants: list[Grants] = [*config.auth.keys, *file_keys, *tokens]
    return [
        *(each.limit() for grant in grants for each in grant.limits),
        *(each.budget() for grant in grants for each in grant.budgets),
    ]


def _unknown(auth: AuthConfig) -> bool:
    """Return whether clients may have limits that do not stand in the configuration."""
    return auth.keys_file is not None or (auth.jwt is not None and auth.jwt.claims.limits is not None)
