"""The strategies by which a route chooses among its targets.

A new one is a class here, or in a file of its own, and a line in `registry.py`: a subclass of `Strategy` with a nested
`Config`, which its constructor gets. Each route has an instance of its own.
"""

from __future__ import annotations

from llmproxy.route import Strategy
from llmproxy.settings import Strict


class Priority(Strategy):
    """Failover: the first target of the configuration, then the next one when that fails."""

    class Config(Strict):
        """No settings."""

    def __init__(self, config: Strict) -> None:
        self.config = config
