"""The state that all connections of a server share: the runtime of the moment, the counters, the memory limit."""

from __future__ import annotations

from typing import Protocol

from llmproxy.access.admission import Admission
from llmproxy.exchange import Exchange, MemoryBudget
from llmproxy.metrics.counters import Metrics
from llmproxy.pipeline import Pipeline
from llmproxy.server.concurrency import Concurrency
from llmproxy.server.pages.admin import Admin
from llmproxy.server.request_body import Limits
from llmproxy.wire.repeated_json import JsonMemory


class ServedRuntime(Protocol):
    """The parts of a runtime that serving needs."""

    @property
    def pipeline(self) -> Pipeline: ...
    @property
    def admin(self) -> Admin: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def admission(self) -> Admission: ...

    def enter(self) -> None:
        """Count one more exchange that uses this runtime."""

    def leave(self) -> None:
        """Count one exchange less. The last one out of a replaced runtime closes it."""


class Shared:
    """The state of all connections. `runtime` may be replaced at any time; an exchange keeps the one it began with.

    `running` are the exchanges under way, by id; `bodies` are requests of late, of which the next ones repeat most.
    """

    def __init__(self, runtime: ServedRuntime, metrics: Metrics, budget: MemoryBudget) -> None:
        self.runtime = runtime
        self.metrics = metrics
        self.budget = budget
        self.bodies = JsonMemory()
        self.concurrency = Concurrency()
        self.running: dict[str, Exchange] = {}
        self.stopping = False

    async def render_metrics(self, accept: str) -> tuple[bytes, str]:
        """Return what `/metrics` shows, of the runtime of the moment, for an Accept header, and its content type."""
        return await self.runtime.admin.prometheus(accept)
