"""The strategies by which a route chooses among its targets.

A new one is a class here, or in a file of its own, and a line in `registry.py`: a subclass of `Strategy` with a nested
`Config`, which its constructor gets. Each route has an instance of its own. `order` gets the targets that can take the
request now, and its first one is called; the others follow only where that one fails. Begin reading at `Weighted`.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from hashlib import blake2b
from operator import add, attrgetter

from pydantic import Field

from llmproxy.client_request import ClientRequest
from llmproxy.dialects.usage import Usage
from llmproxy.route import ModelPrices, Strategy
from llmproxy.settings import Strict, Whole
from llmproxy.target import Target

_MOST_MODELS = 256
_MOST_SUBSETS = 64


def _begin_at(targets: Sequence[Target], place: int) -> Sequence[Target]:
    """Return the targets from one of them on, and then those before it."""
    return targets if place == 0 else [*targets[place:], *targets[:place]]


class Priority(Strategy):
    """Failover: the first target of the configuration, then the next one when that fails."""

    class Config(Strict):
        """No settings."""


class Weighted(Strategy):
    """Smooth weighted round-robin: within each cycle every target is first as often as its weight says, and its turns
    are spread evenly. With weights of 5, 1 and 1: a a b a c a a.
    """

    class Config(Strict):
        """No settings; the weights are those of the targets."""

    def __init__(self, config: Strict) -> None:
        super().__init__(config)
        self._seen: Sequence[Target] = ()
        self._turns = _Turns(())
        self._known: dict[tuple[int, ...], _Turns] = {}

    def order(self, targets: Sequence[Target], request: ClientRequest) -> Sequence[Target]:
        if targets is not self._seen and targets != self._seen:
            self._seen, self._turns = targets, self._turns_of(targets)
        return _begin_at(targets, self._turns.next())

    def _turns_of(self, targets: Sequence[Target]) -> _Turns:
        """Return the turns among these targets: some are out at times, or do not take every request."""
        key = tuple(map(id, targets))
        turns = self._known.get(key)
        if turns is None:
            if len(self._known) >= _MOST_SUBSETS:
                self._known.clear()
            turns = self._known[key] = _Turns(targets)
        return turns


class _Turns:
    """Whose turn it is among some targets, by their weights."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self._weights = [max(target.weight, 1) for target in targets]
        self._current = [0] * len(targets)
        self._total = sum(self._weights)

    def next(self) -> int:
        """Return the place of the target whose turn it is."""
        current = self._current = list(map(add, self._current, self._weights))
        first = current.index(max(current))
        current[first] -= self._total
        return first


class RoundRobin(Strategy):
    """One target after the other."""

    class Config(Strict):
        """No settings."""

    _turn = -1

    def order(self, targets: Sequence[Target], request: ClientRequest) -> Sequence[Target]:
        self._turn += 1
        return _begin_at(targets, self._turn % len(targets))


_running = attrgetter("health.running")


class LeastBusy(Strategy):
    """The target with the fewest calls under way; one after the other among equals."""

    class Config(Strict):
        """No settings."""

    _turn = -1

    def order(self, targets: Sequence[Target], request: ClientRequest) -> Sequence[Target]:
        self._turn += 1
        start = self._turn % len(targets)
        running = list(map(_running, targets))
        running = [*running[start:], *running[:start]]
        first = running.index(min(running))
        return _begin_at(targets, (start + first) % len(targets))


class Fastest(Strategy):
    """Of two targets at random, the one whose first token came sooner of late (power of two choices). So the faster
    ones get more, none gets everything at once, and a target that was slow is tried again."""

    class Config(Strict):
        """No settings."""

    def __init__(self, config: Strict) -> None:
        super().__init__(config)
        self._random = random.random

    def order(self, targets: Sequence[Target], request: ClientRequest) -> Sequence[Target]:
        count = len(targets)
        if count == 1:
            return targets
        one = int(self._random() * count)
        other = (one + 1 + int(self._random() * (count - 1))) % count
        now_s, stream = time.monotonic(), request.stream
        if _expected_s(targets[other], now_s, stream) < _expected_s(targets[one], now_s, stream):
            one, other = other, one
        rest = list(targets)
        for place in sorted((one, other), reverse=True):
            del rest[place]
        return [targets[one], targets[other], *rest]


def _expected_s(target: Target, now_s: float, stream: bool) -> float:
    return 0.0 if target.health is None else target.health.expected_s(now_s, stream=stream)


class Cheapest(Strategy):
    """The target with the lowest price, then the next one when that fails. Targets without a known price come last."""

    class Config(Strict):
        """The request by which prices are compared."""

        input_tokens: Whole = Field(default=3000, ge=0, description="Its input tokens.")
        output_tokens: Whole = Field(default=1000, ge=0, description="Its output tokens.")

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._usage = Usage(input=config.input_tokens, output=config.output_tokens, cache_read=0, cache_write=0)
        self._prices: ModelPrices | None = None
        self._seen: Sequence[Target] = ()
        self._ordered: dict[str | None, Sequence[Target]] = {}

    def use_prices(self, prices: ModelPrices) -> None:
        self._prices = prices

    def order(self, targets: Sequence[Target], request: ClientRequest) -> Sequence[Target]:
        if targets is not self._seen and targets != self._seen:
            self._seen = targets
            self._ordered.clear()
        ordered = self._ordered.get(request.model)
        if ordered is None:
            ordered = sorted(targets, key=lambda target: self._price(target, request.model))
            if len(self._ordered) >= _MOST_MODELS:
                self._ordered.clear()
            self._ordered[request.model] = ordered
        return ordered

    def _price(self, target: Target, model: str | None) -> float:
        price = self._prices.cost(target, target.model or model, self._usage) if self._prices is not None else None
        return math.inf if price is None else price


_PRIME = 1_073_741_789  # the largest below 2**30: numbers of one digit, for Python


class Sticky(Strategy):
    """Always the same target for a session, so that the provider's prompt cache stays warm (rendezvous hashing: when a
    target comes or goes, only its own sessions move). Requests without a session stay together by client. Targets get
    sessions by their weights.
    """

    class Config(Strict):
        """No settings."""

    def __init__(self, config: Strict) -> None:
        super().__init__(config)
        self._seen: Sequence[Target] = ()
        self._classes: list[tuple[int, list[int], list[int]]] = []

    def order(self, targets: Sequence[Target], request: ClientRequest) -> Sequence[Target]:
        if targets is not self._seen and targets != self._seen:
            self._begin(targets)
        number = _number(request.session_id or f"client:{request.client.label}")
        most, first = -1.0, 0
        # Among equal weights the largest number wins, so that each weight needs one logarithm: 43 µs for 100 targets
        # with one each.
        for weight, factors, places in self._classes:
            numbers = [number * factor % _PRIME for factor in factors]
            largest = max(numbers)
            score = weight / -math.log((largest + 1) / (_PRIME + 1))
            if score > most:
                most, first = score, places[numbers.index(largest)]
        return _begin_at(targets, first)

    def _begin(self, targets: Sequence[Target]) -> None:
        """Note a number for each target, by weights."""
        self._seen = targets
        classes: dict[int, tuple[int, list[int], list[int]]] = {}
        for place, target in enumerate(targets):
            weight = max(target.weight, 1)
            _, factors, places = classes.setdefault(weight, (weight, [], []))
            factors.append(_number(f"{target.name} {target.extra_body} {target.extra_headers}"))
            places.append(place)
        self._classes = list(classes.values())


def _number(text: str) -> int:
    """Return a number from 1 to _PRIME - 1 that is the same in every process."""
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % (_PRIME - 1) + 1
