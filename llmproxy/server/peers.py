"""Describe what the workers of a server tell each other for the pages that speak of all of them.

Any worker may be asked for a page. It asks the others through their parent, which also remembers what workers that are
gone have counted. Here are the questions, their answers, and how answers become one; `workers/` carries them. Begin
reading at `Peers`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from llmproxy.errors import ProxyError
from llmproxy.metrics.counters import Metrics
from llmproxy.metrics.sample import Sample, merge_samples
from llmproxy.metrics.stats import RunningExchange
from llmproxy.metrics.stats_merge import sum_stats
from llmproxy.metrics.transfer import MetricsState, add_state
from llmproxy.server.reloading import ReloadFailed


class Counters(msgspec.Struct, array_like=True, frozen=True):
    """Hold what a worker has counted: its metrics, and what other parts of the program add to them."""

    metrics: MetricsState
    samples: list[Sample]


class StatsPart(msgspec.Struct, array_like=True, frozen=True):
    """Hold what else `/stats` shows of a worker: exchanges under way, the statistics of middlewares by type, its
    targets."""

    running: list[RunningExchange]
    middlewares: dict[str, dict[str, Any]]
    targets: list[dict[str, Any]]


class HealthPart(msgspec.Struct, array_like=True, frozen=True):
    """What `/health` shows of a worker. `states` are those of middlewares and reporters, with their types; `out` has a
    sentence for each target that is taken out, by its name."""

    in_flight: int
    states: list[tuple[str, dict[str, Any]]]
    out: dict[str, str]
    websockets: int = 0


class PageQuestion(msgspec.Struct, array_like=True, frozen=True):
    """A request for the page of a middleware: its path, and the parts of a `PageRequest`."""

    page: str
    name: str | None
    query: dict[str, str]
    changing: bool


class PagePart(msgspec.Struct, array_like=True, frozen=True):
    """The page of one worker; None where it has none of that name."""

    content: dict[str, Any] | None


class WorkerRow(msgspec.Struct, frozen=True):
    """A worker as `/health` shows it. `pid` is None while none runs; `restarts` counts how often it began again."""

    worker: int
    pid: int | None
    state: str
    restarts: int
    connections: int


class ServerHealth(msgspec.Struct, array_like=True, frozen=True):
    """What the parent knows: its workers, what is wrong with them, its reloads as `Reloader.describe` shows them."""

    workers: list[WorkerRow]
    faults: list[str]
    reload: dict[str, Any]


class ReloadReport(msgspec.Struct, array_like=True, frozen=True):
    """The result of a reload: what changed and what waits for a restart, in words; or the error of `ReloadFailed` and
    its like: message, status, code. `traces` are the directories of trace middlewares."""

    changes: list[str]
    ignored: list[str]
    traces: list[str] = []
    error: tuple[str, int, str] | None = None

    def check(self) -> ReloadReport:
        """Return it. Raises ProxyError when the reload failed."""
        if self.error is not None:
            message, status, code = self.error
            if status == ReloadFailed.STATUS:
                raise ReloadFailed(message)
            raise ProxyError(message, status=status, code=code)
        return self


class Peers(Protocol):
    """The workers of a server, this one among them, as one of them sees them.

    Each question is answered within a bounded time: a worker that does not answer is left out, and `ServerHealth` says
    so.
    """

    async def counters(self, *, activity: bool) -> list[Counters]:
        """Return the counters of every worker, this one too, and those of workers that are gone."""

    async def stats(self) -> list[StatsPart]:
        """Return what the others show at `/stats`."""

    async def health(self) -> tuple[list[HealthPart], ServerHealth]:
        """Return what the others show at `/health`, and what the parent knows."""

    async def page(self, question: PageQuestion) -> list[PagePart]:
        """Return the page of the others."""

    async def reload(self, reason: str) -> ReloadReport:
        """Reload all workers. Raises ProxyError, and then the configuration is the one before."""


def merge_counters(parts: Iterable[Counters]) -> tuple[Metrics, list[Sample]]:
    """Return the sum over several workers. Belongs in a thread."""
    held_bytes, listed = 0, list(parts)
    metrics = Metrics(lambda: held_bytes)
    for part in listed:
        add_state(metrics, part.metrics)
        held_bytes += part.metrics.held_bytes
    return metrics, merge_samples(part.samples for part in listed)


Merge = Callable[[Sequence[Mapping[str, Any]]], Mapping[str, object]]


def merge_stats(parts: Sequence[StatsPart], merges: Mapping[str, Merge]) -> StatsPart:
    """Return several parts as one, the first of them that of the worker that was asked. `merges` say how the statistics
    of middlewares become one, by type."""
    middlewares: dict[str, Any] = {}
    for type_ in parts[0].middlewares:
        found = [part.middlewares[type_] for part in parts if type_ in part.middlewares]
        middlewares[type_] = dict(merges[type_](found) if type_ in merges else sum_stats(found))
    return StatsPart(
        running=[each for part in parts for each in part.running],
        middlewares=middlewares,
        targets=merge_targets([part.targets for part in parts]),
    )


def merge_targets(parts: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return the rows of targets of the first worker with the calls that all have under way."""
    running: dict[tuple[object, object], int] = {}
    for row in (row for rows in parts for row in rows):
        name = row["provider"], row["model"]
        running[name] = running.get(name, 0) + row["running"]
    return [{**row, "running": running[row["provider"], row["model"]]} for row in parts[0]]


def merge_health(parts: Sequence[HealthPart]) -> HealthPart:
    """Return several parts as one, the first of them that of the worker that was asked: numbers are added up, and a
    fault of any worker is one of the server."""
    states = list(parts[0].states)
    for part in parts[1:]:
        if [type_ for type_, _ in part.states] == [type_ for type_, _ in states]:
            states = [
                (type_, sum_stats([mine, theirs]))
                for (type_, mine), (_, theirs) in zip(states, part.states, strict=True)
            ]
    return HealthPart(
        in_flight=sum(part.in_flight for part in parts),
        states=states,
        out={name: text for part in reversed(parts) for name, text in part.out.items()},
        websockets=sum(part.websockets for part in parts),
    )
