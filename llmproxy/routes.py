"""Build providers and routes from a configuration, with what they share: prices, health, strategies.

`app.py` wires the rest; commands that only look at routes need nothing more. Begin reading at `build_routing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from llmproxy.config.load import Loaded
from llmproxy.config.routing_schema import BreakerConfig, ConditionConfig, ModelConfig, RoutingConfig, TargetConfig
from llmproxy.config.schema import Config
from llmproxy.pricing.prices import Prices
from llmproxy.providers.base import ProviderConfig
from llmproxy.registry import find_component
from llmproxy.route import CONNECTION, RetryPolicy, Route, Strategy
from llmproxy.routing.affinity import MAX_BYTES, Affinity
from llmproxy.routing.health import Health
from llmproxy.routing.router import Router
from llmproxy.routing.sealed_history import SealedHistories
from llmproxy.server.file_watch import file_stamp
from llmproxy.server.reuse import Reuse
from llmproxy.server.runtime import start_error
from llmproxy.settings import Strict
from llmproxy.stores.open_stores import Stores
from llmproxy.target import Condition, Provider, Target, TargetLimit, is_pattern
from llmproxy.target_health import BreakerSettings
from llmproxy.wire.json import write_value


def build_routing(
    loaded: Loaded, health: Health | None = None, prices: Prices | None = None, reuse: Reuse | None = None
) -> tuple[Router, list[Provider]]:
    """Return the router and the providers, those that are not in use yet not started. Raises RegistryError."""
    config = loaded.checked()
    reuse = reuse or Reuse(Stores())
    providers = [_provider(loaded, each, reuse) for each in config.providers if each.enabled]
    named = {provider.name: provider for provider in providers}
    catch_all = None if config.llm is None else _provider(loaded, config.llm, reuse)
    default = named.get(config.default_provider) if config.default_provider else None
    routes = _Routes(loaded, named, health or Health(), prices or Prices())
    router = Router(
        providers,
        [route for model in config.models for route in routes.of(model)],
        catch_all,
        default,
        policy=policy_of(config.routing),
        health_of=routes.health_of,
    )
    return router, [*providers, *([catch_all] if catch_all else [])]


def build_affinity(
    config: Config, providers: Sequence[Provider], stores: Stores
) -> tuple[Affinity | None, SealedHistories | None]:
    """Return what knows who made what, and who sealed what; None where nobody else could have."""
    several = len(providers) > 1
    blobs = stores.open(config.routing.store).affinity(MAX_BYTES)
    return (
        Affinity(blobs) if several or any(provider.rotates for provider in providers) else None,
        SealedHistories(blobs) if several or config.models else None,
    )


def make_component(loaded: Loaded, kind: str, type_: str, settings: Strict, who: str, place: str) -> Any:
    """Return an instance of the class that `type_` names; the schema has read `settings` for that class."""
    component = find_component(kind, type_, loaded.checked().directory)
    try:
        return component(settings)
    except BaseException as error:
        raise start_error(who, place, "cannot be created", error, component) from error


def provider_place(loaded: Loaded, name: str) -> tuple[str, str]:
    """Return how a provider is named in messages, and where it stands."""
    return f"provider {name!r}", loaded.places.get(("providers", name), "")


def file_stamps(settings: Strict) -> Sequence[object]:
    """Return what changes when a file that `settings` name does: their fields `..._file`."""
    fields: Iterable[tuple[str, object]] = settings
    return [file_stamp(value) for name, value in fields if name.endswith("_file") and isinstance(value, str)]


def _provider(loaded: Loaded, settings: ProviderConfig, reuse: Reuse) -> Provider:
    def make(stores: Stores) -> Provider:
        made: Provider = make_component(
            loaded, "providers", settings.type, settings, *provider_place(loaded, settings.name)
        )
        return made

    kind = find_component("providers", settings.type, loaded.checked().directory)
    # Libraries of clouds take credentials from the environment, in which the variables of `.env` are.
    return reuse.take((kind, settings, file_stamps(settings), loaded.dotenv), make)


def policy_of(routing: RoutingConfig, model: ModelConfig | None = None) -> RetryPolicy:
    """Return the retry policy of a model, or the one for all models without their own."""

    def value(name: str) -> Any:
        return getattr(routing, name) if model is None else model.or_default(routing, name)

    reasons = value("retry_on")
    return RetryPolicy(
        retries=value("retries"),
        retry_on=frozenset(each for each in reasons if isinstance(each, int)),
        on_connection=CONNECTION in reasons,
        delay_s=routing.retry_delay,
        max_delay_s=routing.max_retry_delay,
        max_retry_after_s=routing.max_retry_after,
        timeout_s=value("timeout"),
        first_token_s=value("first_token"),
        max_wait_s=value("max_wait"),
    )


def breaker_of(config: BreakerConfig) -> BreakerSettings:
    """Return the settings of the circuit breakers."""
    return BreakerSettings(
        failures=config.failures,
        window_s=config.window,
        failure_ratio=config.failure_ratio,
        recovery_s=config.recovery,
        max_recovery_s=max(config.max_recovery, config.recovery),
    )


class _Routes:
    """Makes the routes of one configuration."""

    def __init__(self, loaded: Loaded, providers: dict[str, Provider], health: Health, prices: Prices) -> None:
        self._loaded = loaded
        self._config = loaded.checked()
        self._providers = providers
        self._health = health
        self._prices = prices
        self._breaker = breaker_of(self._config.routing.breaker)
        health.budget.share = self._config.routing.retry_budget

    def health_of(self, target: Target) -> Target:
        """Return `target` with its health."""
        return replace(target, health=self._health.of(target.provider.name, target.model, self._breaker))

    def of(self, model: ModelConfig) -> Iterator[Route]:
        """Yield a route for each name of a model; they share targets and strategy."""
        targets = tuple(self._targets(model, model.targets))
        if not targets:
            return
        route = Route(
            name=model.name,
            targets=targets,
            strategy=self._strategy(model),
            policy=policy_of(self._config.routing, model),
            shadow=next(self._targets(model, [model.shadow] if model.shadow else []), None),
        )
        for name in model.names:
            yield replace(route, name=name)

    def _targets(self, model: ModelConfig, targets: Sequence[TargetConfig]) -> Iterator[Target]:
        for target in targets:
            if target.provider not in self._providers:
                continue
            # A provider knows no alias: it is asked for the model under its own name.
            own = model.name if model.aliases and not is_pattern(model.name) else None
            provider = self._providers[target.provider]
            yield self.health_of(
                Target(
                    provider=provider,
                    model=target.model or own,
                    weight=target.weight,
                    extra_body=tuple((name, write_value(value)) for name, value in target.extra_body.items()),
                    extra_headers=tuple(target.extra_headers.items()),
                    timeouts=_timeouts(target),
                    when=None if target.when is None else _condition(target.when),
                    limit=_limit(target),
                )
            )

    def _strategy(self, model: ModelConfig) -> Strategy:
        chosen = model.strategy or self._config.routing.strategy
        who = f"strategy {chosen.type!r} of the model {model.name!r}"
        strategy: Strategy = make_component(self._loaded, "strategies", chosen.type, chosen.config, who, "")
        strategy.use_prices(self._prices)
        return strategy


def _timeouts(target: TargetConfig) -> tuple[tuple[str, float], ...]:
    """Return the time limits that a target has of its own."""
    own = {} if target.timeouts is None else target.timeouts.model_dump()
    return tuple((f"{name}_s", value) for name, value in own.items() if value is not None)


def _limit(target: TargetConfig) -> TargetLimit | None:
    """Return the configured limits of a target; None without any."""
    limit = TargetLimit(rpm=target.rpm, tpm=target.tpm, concurrent=target.concurrent)
    return limit if target.limited else None


def _condition(config: ConditionConfig) -> Condition:
    return Condition(
        headers=tuple(config.headers.items()),
        keys=tuple(config.keys),
        min_tokens=config.min_tokens,
        max_tokens=config.max_tokens,
        has_images=config.has_images,
        has_tools=config.has_tools,
    )
