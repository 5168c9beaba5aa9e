"""What clients call a model, and the strategy that chooses among the targets behind it.

Values and one interface; the strategies themselves are in `routing/`. Begin reading at `Route`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from llmproxy.call import Call
from llmproxy.client_request import ClientRequest
from llmproxy.dialects.usage import Usage
from llmproxy.errors import ProxyError
from llmproxy.target import Target
from llmproxy.user_code import is_user_defined, log_failure
from llmproxy.wire.http import RETRYABLE_STATUSES

log = logging.getLogger(__name__)


class ModelPrices(Protocol):
    """The part of the prices that strategies need."""

    def cost(self, target: Target, model: str | None, usage: Usage | None, /) -> float | None:
        """Return what an answer with `usage` costs in USD; None where that is unknown."""


class Strategy:
    """Decides which targets of a route are called, in which order. One instance serves one route.

    This base tries them as they stand in the configuration. `order` gets those that can take the request now, and must
    return at least one of them; `report` gets each call at its end, whether it failed or its answer was certain, and
    must not block. A subclass has its settings in a nested `Config`, which its constructor gets.
    """

    def __init__(self, config: object = None) -> None:
        self.config = config

    def use_prices(self, prices: ModelPrices) -> None:
        """Take the prices of the configuration. Called once, before the first request."""

    def order(self, targets: Sequence[Target], request: ClientRequest) -> Sequence[Target]:
        """Return the targets to try for `request`, first to last."""
        return targets

    def report(self, target: Target, outcome: Call) -> None:
        """Take note of how a call went: its `status`, `error` and times."""


_AS_CONFIGURED = Strategy()


CONNECTION = "connection"
"""The word of `retry_on` for a provider that cannot be reached, breaks off or takes too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """The steps when a target of a route fails, before anything was sent to the client.

    Each target is called once, as long as they fail with a status of `retry_on` or, with `on_connection`, without an
    answer; then up to `retries` more calls are made, after random delays of at most `delay_s`, doubled each time up to
    `max_delay_s`. A target that asks to wait gets that time, unless it is more than `max_retry_after_s`. All of it
    takes at most `timeout_s`. With `first_token_s` a stream counts as failed that has no content after that time.
    While all targets are at their limit, a request waits for at most `max_wait_s`.
    """

    retries: int = 0
    retry_on: frozenset[int] = RETRYABLE_STATUSES
    on_connection: bool = True
    delay_s: float = 0.5
    max_delay_s: float = 8.0
    max_retry_after_s: float = 30.0
    timeout_s: float | None = None
    first_token_s: float | None = None
    max_wait_s: float = 10.0


_ONCE = RetryPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What clients call a model (a name, or a pattern for several), and the targets behind it, first to last.

    `policy` says how failures are made good. A copy of each request goes to `shadow`, where that is set. `relay` says
    that the client chose the provider by its path, and gets its dialects as they are. `why` says in a few
    words for log lines how a request comes to it.
    """

    name: str
    targets: tuple[Target, ...]
    relay: bool = False
    strategy: Strategy = _AS_CONFIGURED
    why: str = field(default="", compare=False)
    policy: RetryPolicy = RetryPolicy()
    shadow: Target | None = None
    plain: bool = field(init=False, compare=False)
    """True where its only target is called once, whatever happens: it has no other credential either."""

    conditional: bool = field(init=False, compare=False)
    """True where some of its targets take only some requests."""

    has_reserves: bool = field(init=False, compare=False)
    """True where some of its targets are called only when all others are out."""

    _checked: bool = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        alone = len(self.targets) == 1 and self.targets[0].health is None and self.shadow is None
        object.__setattr__(self, "_checked", is_user_defined(type(self.strategy)))
        object.__setattr__(self, "conditional", any(target.when is not None for target in self.targets))
        object.__setattr__(self, "has_reserves", any(target.weight == 0 for target in self.targets))
        alone = alone and not self.targets[0].provider.rotates
        object.__setattr__(self, "plain", alone and not self.conditional and self.policy == _ONCE)

    def order(self, request: ClientRequest, candidates: Sequence[Target] | None = None) -> Sequence[Target]:
        """Return the targets to try for `request`, first to last, of the `candidates`, which are all without any; at
        least one.

        Raises ComponentFailed when the strategy fails or returns anything else.
        """
        candidates = self.targets if candidates is None else candidates
        try:
            targets = self.strategy.order(candidates, request)
        except ProxyError:
            raise
        except BaseException as error:
            raise log_failure(self._who("order"), request.id, error) from error
        if targets is not candidates and self._checked:
            if not isinstance(targets, (tuple, list)) or not all(isinstance(each, Target) for each in targets):
                raise log_failure(self._who("order"), request.id, "returned no list of targets")
            if not targets:
                raise log_failure(self._who("order"), request.id, "returned no target; it must return at least one")
        return targets

    def report(self, target: Target, outcome: Call) -> None:
        """Tell the strategy how a call to `target` went. It only watches, so its errors are logged."""
        try:
            self.strategy.report(target, outcome)
        except BaseException as error:
            log.error("%s failed with %s", self._who("report"), type(error).__name__, exc_info=error)

    def _who(self, method: str) -> str:
        return f"{method} of strategy {type(self.strategy).__name__!r} of the model {self.name!r}"


def model_names(model: str | None, route: Route | None) -> tuple[str, ...]:
    """Return the names of a model: the client's, and in `provider/model` what follows the provider."""
    if model is None:
        return ()
    if route is None or len(route.targets) != 1:
        return (model,)
    target = route.targets[0]
    for owner in (target.provider.name, target.provider.type):
        if route.name == f"{owner}/*" and model == f"{owner}/{target.model}":
            return model, str(target.model)
    return (model,)
