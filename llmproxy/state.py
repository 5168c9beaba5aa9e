"""Keep what outlives a configuration: connections, stores, counters, health of targets. Begin reading at `State`."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmproxy.config.configured_prices import configured_prices, price_settings
from llmproxy.config.schema import Config
from llmproxy.exchange import MemoryBudget
from llmproxy.metrics.counters import Metrics
from llmproxy.pricing.prices import Prices
from llmproxy.routing.health import Health
from llmproxy.server.freed_memory import FreedMemory
from llmproxy.server.reloading import Reloader
from llmproxy.server.runtime import Component, Runtime
from llmproxy.server.shared import Shared
from llmproxy.stores.open_stores import StorePool
from llmproxy.target import Provider
from llmproxy.upstream.pool import Upstream

if TYPE_CHECKING:
    from llmproxy.workers.parent_link import ParentLink


class State:
    """Everything that outlives a configuration. Created inside the running loop. `worker` links a worker to its parent;
    None in a server alone."""

    def __init__(self, max_held_bytes: int, worker: ParentLink | None = None) -> None:
        self.worker = worker
        self.started_s = time.monotonic() if worker is None else worker.order.started_s
        self.freed_memory = FreedMemory()
        self.budget = MemoryBudget(max_held_bytes, self.freed_memory.expect)
        self.metrics = Metrics(lambda: self.budget.used_bytes)
        self.upstream = Upstream()
        self.stores = StorePool(None if worker is None else worker.link)
        self.health = Health()
        self.reloader = Reloader()
        self.shared: Shared | None = None
        self._prices: tuple[object, Prices] | None = None

    def share(self, limit: int) -> int:
        """Return the part of a limit of the whole server that is this process's own."""
        return limit if self.worker is None else math.ceil(limit / self.worker.order.count)

    @property
    def stopping(self) -> bool:
        """Return whether the server is about to end."""
        return self.shared is not None and self.shared.stopping

    @property
    def components(self) -> Sequence[Component]:
        """Return the components of the runtime in effect; none before there is one."""
        runtime = None if self.shared is None else self.shared.runtime
        return runtime.components if isinstance(runtime, Runtime) else ()

    def prices(self, config: Config) -> Prices:
        """Return the prices of `config`: the ones in use where they are the same, since their table is read once."""
        settings = price_settings(config)
        if self._prices is None or self._prices[0] != settings:
            self._prices = settings, configured_prices(config)
        return self._prices[1]

    def release(self, runtime: Runtime) -> None:
        """Close the idle connections of providers that only `runtime` had, which is closed."""
        for each in runtime.components:
            if not each.uses.count and isinstance(each.part, Provider) and each.part.origin is not None:
                self.upstream.forget(each.part.origin)

    async def close(self) -> None:
        """Close the connections."""
        self.freed_memory.close()
        await self.upstream.close()
