"""What the calls of an exchange cost, in USD, and what a call may cost at most.

`Prices` is built once for each configuration. An unknown price is None, never 0. Begin reading at `Prices.charge`.
"""

from __future__ import annotations

from llmproxy.dialects.model import Usage
from llmproxy.exchange import Exchange
from llmproxy.route import Route
from llmproxy.target import Target


class Prices:
    """The prices of models, by provider."""

    def cost(self, target: Target, model: str | None, usage: Usage | None) -> float | None:
        """Return what an answer of `model` with `usage` costs in USD; None where its price or a count is unknown."""
        return None

    def estimate(self, route: Route, model: str | None, input_tokens: int, output_tokens: int) -> float | None:
        """Return what a call of `route` with so many tokens costs in USD at most, over its targets; None where no price
        is known."""
        return None

    def charge(self, exchange: Exchange) -> None:
        """Set what the exchange and its calls cost. Called once, when the exchange has ended, before `on_end`."""
