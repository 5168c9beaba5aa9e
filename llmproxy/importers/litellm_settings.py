"""Read `router_settings`, `litellm_settings` and `general_settings` of LiteLLM, a handler for each key.

Facts: docs.litellm.ai/docs/proxy/config_settings. Begin reading at `ROUTER`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from llmproxy.config.auth import SHORTEST_KEY
from llmproxy.config.document import ConfigNode
from llmproxy.importers.draft import ConfigBlock, Draft, number, whole

_STRATEGIES: Mapping[str, tuple[str, str]] = {
    "simple-shuffle": ("weighted", "by weight, evenly spread rather than at random"),
    "least-busy": ("least_busy", ""),
    "latency-based-routing": ("fastest", "by the time to the first token"),
    "cost-based-routing": ("cheapest", "by the price of a usual request"),
    "usage-based-routing": ("least_busy", "by calls under way; `rpm` and `tpm` of targets are limits"),
    "usage-based-routing-v2": ("least_busy", "by calls under way; `rpm` and `tpm` of targets are limits"),
}
_STORES: Mapping[str, str] = {"redis": "redis", "local": "memory", "disk": "disk"}
_REDIS_OF_VARIABLES: Mapping[str, str] = {
    "url": "redis://${REDIS_HOST:-127.0.0.1}:${REDIS_PORT:-6379}/0",
    "password": "${REDIS_PASSWORD:-}",
}
"""Where LiteLLM's cache is without an address of its own: docs.litellm.ai/docs/proxy/caching"""
_PERIODS: Mapping[str, str] = {"1d": "day", "24h": "day", "7d": "week", "30d": "month", "1mo": "month"}
_MOST_RETRIES = 20
_SHARED_STORE = "shared"


class Settings:
    """Reads settings into `draft`, and keeps those that are for models: `fallbacks` as (model, others, node), `aliases`
    as (alias, model, node), `concurrent` for targets without a limit of their own."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.fallbacks: list[tuple[str, list[str], ConfigNode]] = []
        self.aliases: list[tuple[str, str, ConfigNode]] = []
        self.concurrent: int | None = None
        self.provider_timeout: str | None = None

    def store(self, node: ConfigNode, key: str) -> None:
        """Put a key of a Redis into the store that replicas share."""
        for section in ("routing", "quotas"):
            self.draft.section(section)["store"] = _SHARED_STORE
        _redis(self.draft, node, key, self.draft.section("stores").setdefault(_SHARED_STORE, {"type": "redis"}))


SettingReader: TypeAlias = Callable[[Settings, ConfigNode], None]


def _redis(draft: Draft, node: ConfigNode, key: str, store: ConfigBlock) -> None:
    """Put the host, port, password or URL of a Redis into `store`."""
    if key in ("host", "port"):
        host, _, port = store.get("url", "redis://127.0.0.1:6379/0")[len("redis://") : -len("/0")].rpartition(":")
        host, port = (draft.text(node), port) if key == "host" else (host, draft.text(node))
        store["url"] = f"redis://{host}:{port}/0"
    else:
        store[key] = draft.text(node, "REDIS_PASSWORD" if key == "password" else "")
    draft.exact(node, "stores")


def _strategy(settings: Settings, node: ConfigNode) -> None:
    found = _STRATEGIES.get((node.word or "").lower())
    if found is None:
        settings.draft.by_hand(node, "no such strategy here; choose one of `routing.strategy`")
        return
    settings.draft.section("routing")["strategy"] = found[0]
    if found[1]:
        settings.draft.approximate(node, "routing.strategy", found[1])
    else:
        settings.draft.exact(node, "routing.strategy")


def _retries(settings: Settings, node: ConfigNode) -> None:
    count = whole(node)
    if count is None:
        settings.draft.by_hand(node, "must be a whole number")
        return
    settings.draft.section("routing")["retries"] = min(count, _MOST_RETRIES)
    settings.draft.approximate(node, "routing.retries", "further calls after each target has failed once, at most 20")


def _allowed_fails(settings: Settings, node: ConfigNode) -> None:
    count = whole(node)
    if count is None:
        settings.draft.by_hand(node, "must be a whole number")
        return
    settings.draft.section("routing", "breaker")["failures"] = min(count + 1, 10_000)
    message = "out at the next failure within a minute, if a fifth of its calls fail"
    settings.draft.approximate(node, "routing.breaker.failures", message)


def _seconds(path: tuple[str, ...], message: str) -> SettingReader:
    """Return a handler for a number of seconds."""

    def handler(settings: Settings, node: ConfigNode) -> None:
        seconds = number(node)
        if not seconds or seconds < 0:
            settings.draft.by_hand(node, "must be a number of seconds above 0")
            return
        settings.draft.section(*path[:-1])[path[-1]] = f"{seconds}s"
        settings.draft.approximate(node, ".".join(path), message)

    return handler


def _timeout(settings: Settings, node: ConfigNode) -> None:
    seconds = number(node)
    if not seconds:
        settings.draft.by_hand(node, "must be a number of seconds above 0")
        return
    settings.provider_timeout = f"{seconds}s"
    settings.draft.approximate(node, "providers.timeouts.first_byte", "until the answer begins")


def _fallbacks(settings: Settings, node: ConfigNode) -> None:
    for entry in node.items:
        for name, others in entry.members.items():
            words = [each.word for each in others.items if each.word]
            if len(words) == len(others.items):
                settings.fallbacks.append((name, words, others))
            else:
                settings.draft.by_hand(others, "fallbacks with parameters of their own; write a target for each")


def _default_fallbacks(settings: Settings, node: ConfigNode) -> None:
    settings.fallbacks.append(("*", [each.word for each in node.items if each.word], node))


def _aliases(settings: Settings, node: ConfigNode) -> None:
    for alias, value in node.members.items():
        inner = value.members.get("model", value)
        settings.aliases.append((alias, inner.word or "", inner))
        if (hidden := value.members.get("hidden")) is not None:
            settings.draft.approximate(hidden, "", "aliases are not hidden from the list of models")


def _concurrent(settings: Settings, node: ConfigNode) -> None:
    settings.concurrent = whole(node, 1)
    settings.draft.exact(node, "models.targets.concurrent")


def _budgets(settings: Settings, node: ConfigNode) -> None:
    for name, budget in node.members.items():
        limit, period = budget.members.get("budget_limit"), budget.members.get("time_period")
        per = _PERIODS.get((period.word if period else None) or "")
        usd = None if limit is None else number(limit)
        if not usd or per is None or limit is None or period is None:
            settings.draft.by_hand(budget, "write an entry of `budgets` for it")
            continue
        settings.draft.entries("budgets").append({"max_cost": usd, "per": per, "match": {"provider": name}})
        settings.draft.approximate(limit, "budgets.max_cost", "requests are refused when it is used up")
        settings.draft.approximate(period, "budgets.per", "of the calendar")


def _cache(settings: Settings, node: ConfigNode) -> None:
    entry = _cache_entry(settings)
    if node.value is not True:
        entry["enabled"] = False
    message = "each client has its own answers, unless `shared: true`"
    settings.draft.approximate(node, "middlewares.cache", message)


def _cache_entry(settings: Settings) -> ConfigBlock:
    entries = settings.draft.entries("middlewares")
    found = next((each for each in entries if each["type"] == "cache"), None)
    if found is None:
        found = {"type": "cache", "config": {"when": "always"}}
        entries.append(found)
    return found


def _cache_params(settings: Settings, node: ConfigNode) -> None:
    draft, members = settings.draft, node.members
    config = _cache_entry(settings)["config"]
    if (type_ := members.get("type")) is not None:
        store = _STORES.get(type_.word or "")
        if store is None:
            draft.by_hand(type_, "no such store here; the answers are kept in memory")
        else:
            config["store"] = store
            draft.exact(type_, "middlewares.cache.store")
    for key, each in members.items():
        if config.get("store") == "redis" and key in ("host", "port", "password", "url", "namespace"):
            _redis(draft, each, key, config)
    if type_ is not None and config.get("store") == "redis" and "url" not in config:
        config.update({**_REDIS_OF_VARIABLES, **config})
        message = "the Redis of REDIS_HOST, REDIS_PORT and REDIS_PASSWORD; where you set REDIS_URL, write it as `url`"
        draft.approximate(type_, "middlewares.cache.store", message)
    if (ttl := members.get("ttl")) is not None and (seconds := number(ttl)):
        config["ttl"] = f"{seconds}s"
        draft.exact(ttl, "middlewares.cache.ttl")


def _callbacks(settings: Settings, node: ConfigNode) -> None:
    for each in node.items or [node]:
        if each.word == "prometheus":
            settings.draft.exact(each, "", "/metrics is there anyway")
        elif each.word in ("otel", "opentelemetry"):
            settings.draft.section("telemetry").setdefault("otlp", {"traces": True})
            settings.draft.approximate(
                each, "telemetry.otlp", "its address and headers are OTEL_ variables or keys there"
            )
        else:
            settings.draft.by_hand(each, "no such callback; send traces by `telemetry.otlp`, or write a middleware")


def _debug(settings: Settings, node: ConfigNode) -> None:
    if node.value is True or (node.word or "").lower() == "debug":
        settings.draft.section("logging")["level"] = "debug"
    settings.draft.exact(node, "logging.level")


def _json_logs(settings: Settings, node: ConfigNode) -> None:
    settings.draft.section("logging")["format"] = "json" if node.value is True else "text"
    settings.draft.exact(node, "logging.format")


def _drop_params(settings: Settings, node: ConfigNode) -> None:
    if node.value is True:
        settings.draft.exact(node, "translation", "what a provider lacks is dropped, and listed in x-llmproxy-dropped")
        return
    settings.draft.section("translation")["strict"] = True
    settings.draft.approximate(node, "translation.strict", "requests with what a provider lacks are refused")


def _master_key(settings: Settings, node: ConfigNode) -> None:
    key = settings.draft.text(node, "LITELLM_MASTER_KEY", least_length=SHORTEST_KEY)
    settings.draft.section("auth")["keys"] = [{"name": "master", "key": key}]
    settings.draft.section("server")["admin_key"] = key
    settings.draft.approximate(node, "auth.keys, server.admin_key", "a client key, and the key for changes")


def _size(settings: Settings, node: ConfigNode) -> None:
    megabytes = number(node)
    if not megabytes:
        settings.draft.by_hand(node, "must be a number of megabytes")
        return
    settings.draft.section("server")["max_body_size"] = f"{megabytes}MB"
    settings.draft.exact(node, "server.max_body_size")


def _global_concurrent(settings: Settings, node: ConfigNode) -> None:
    count = whole(node, 1)
    if count is None:
        settings.draft.by_hand(node, "must be a whole number of 1 or more")
        return
    settings.draft.section("server")["max_concurrent"] = count
    settings.draft.approximate(node, "server.max_concurrent", "further requests wait for their turn")


def _by_hand(message: str) -> SettingReader:
    return lambda settings, node: settings.draft.by_hand(node, message)


def _not_needed(message: str) -> SettingReader:
    return lambda settings, node: settings.draft.approximate(node, "", f"not needed: {message}")


def _shared(key: str) -> SettingReader:
    return lambda settings, node: settings.store(node, key)


_window_fallbacks = _by_hand("give the larger model a target with `when: {min_tokens: N}`, N the window of the smaller")
_database = _by_hand("keys and teams of a database are not read; make keys with `llmproxy keys new NAME`")

_BOTH: Mapping[str, SettingReader] = {
    "num_retries": _retries,
    "allowed_fails": _allowed_fails,
    "fallbacks": _fallbacks,
    "default_fallbacks": _default_fallbacks,
    "context_window_fallbacks": _window_fallbacks,
    "set_verbose": _debug,
}
ROUTER: Mapping[str, SettingReader] = {
    **_BOTH,
    "routing_strategy": _strategy,
    "cooldown_time": _seconds(("routing", "breaker", "recovery"), "then one call decides; twice as long if it fails"),
    "retry_after": _seconds(("routing", "retry_delay"), "the longest wait before the first retry"),
    "timeout": _timeout,
    "stream_timeout": _seconds(("routing", "first_token"), "until the first content of a stream"),
    "model_group_alias": _aliases,
    "default_max_parallel_requests": _concurrent,
    "provider_budget_config": _budgets,
    "enable_pre_call_checks": _not_needed("`rpm` and `tpm` are limits anyway; context windows are not checked"),
    "debug_level": _debug,
    "retry_policy": _by_hand("write the statuses that are retried into `routing.retry_on`"),
    "allowed_fails_policy": _by_hand("one number for all failures: `routing.breaker.failures`"),
    "redis_host": _shared("host"),
    "redis_port": _shared("port"),
    "redis_password": _shared("password"),
    "redis_url": _shared("url"),
}
MODULE: Mapping[str, SettingReader] = {
    **_BOTH,
    "request_timeout": _timeout,
    "drop_params": _drop_params,
    "cache": _cache,
    "cache_params": _cache_params,
    "callbacks": _callbacks,
    "success_callback": _callbacks,
    "failure_callback": _callbacks,
    "service_callbacks": _callbacks,
    "json_logs": _json_logs,
    "turn_off_message_logging": _not_needed("conversations are in traces only where a `trace` middleware is"),
}
GENERAL: Mapping[str, SettingReader] = {
    "master_key": _master_key,
    "database_url": _database,
    "store_model_in_db": _database,
    "max_request_size_mb": _size,
    "max_parallel_requests": _concurrent,
    "global_max_parallel_requests": _global_concurrent,
    "allowed_ips": _by_hand("restrict access to the port with a firewall, or give clients keys"),
    "enable_jwt_auth": _by_hand("write `auth.jwt`"),
    "litellm_jwtauth": _by_hand("write `auth.jwt`"),
    "pass_through_endpoints": _by_hand("write a provider with that base_url; clients reach it below /its-name/"),
    "custom_auth": _by_hand("write a middleware"),
    "alerting": _by_hand("alert on the metrics, see configs/deploy/grafana.json"),
    "health_check_interval": _seconds(("routing", "health_check"), "of targets that are out"),
    "background_health_checks": _not_needed("`routing.health_check` asks targets that are out"),
}
