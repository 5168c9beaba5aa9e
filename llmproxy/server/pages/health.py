"""Pages that say whether the server is healthy: `/health` for people, `/healthz`, `/livez` and `/readyz` for probes.

A server that is degraded still serves, so that only one that stops, or that can call no provider at all, is a 503.
Begin reading at `HealthPages`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from llmproxy.answer import Answer
from llmproxy.exchange import Exchange
from llmproxy.metrics.sample import Sample
from llmproxy.server.pages.json_page import json_page
from llmproxy.server.pages.page_state import EffectiveConfig, ProcessState
from llmproxy.server.peers import HealthPart, ServerHealth, merge_health

# The window and the number in /healthz where no limit is configured.
_WINDOW_S, _MOST_REQUESTS = 60, 60

States = Sequence[tuple[str, Mapping[str, object]]]
"""The states of parts of the program, by type: `queued`, `lost`, `fault`."""


class HealthPages:
    """`states` returns the states of middlewares and reporters."""

    def __init__(self, process: ProcessState, config: EffectiveConfig, states: Callable[[], States]) -> None:
        self._process = process
        self._providers = config.providers
        self._settings = _settings(config.values)
        self._states = states

    async def health(self, exchange: Exchange) -> Answer:
        """Write whether all works, and what does not."""
        health, server = await self._collect()
        faults, stopping = _faults(health, server), self._process.stopping()
        return json_page(
            {
                "status": _status(stopping, faults),
                "faults": faults,
                "version": self._process.version,
                "pid": self._process.pid,
                "uptime_seconds": self._uptime_s(),
                "providers": len(self._providers),
                "requests_in_flight": health.in_flight,
                "websockets": health.websockets,
                "middlewares": [{"type": type_, **state} for type_, state in health.states if state],
                "reload": server.reload or None,
                **({"workers": server.workers} if server.workers else {}),
            },
            status=503 if stopping else 200,
        )

    async def healthz(self, exchange: Exchange) -> Answer:
        """Write the same in short, with the settings that older clients read there."""
        stopping = self._process.stopping()
        content = {
            "status": _status(stopping, _faults(*await self._collect())),
            "uptime_seconds": self._uptime_s(),
            "version": self._process.version,
            **self._settings,
        }
        return json_page(content, status=503 if stopping else 200)

    async def livez(self, exchange: Exchange) -> Answer:
        """Write that the process answers: it needs no restart."""
        return json_page({"status": "ok"})

    async def readyz(self, exchange: Exchange) -> Answer:
        """Write whether requests should be sent here: not while it stops, nor while each target is taken out."""
        if self._process.stopping():
            reason = "the server is stopping"
        elif self._providers and self._process.health.all_out():
            reason = "no provider can be called: every target failed too often"
        else:
            return json_page({"status": "ok"})
        return json_page({"status": "unavailable", "reason": reason}, status=503)

    def part(self) -> HealthPart:
        """Return what is known of this process."""
        states = [(type_, dict(state)) for type_, state in self._states()]
        return HealthPart(
            in_flight=self._process.metrics.in_flight,
            states=states,
            out=self._process.health.faults(),
            websockets=self._process.metrics.websockets.open,
        )

    async def _collect(self) -> tuple[HealthPart, ServerHealth]:
        """Return what is known of all workers."""
        if self._process.peers is not None:
            others, server = await self._process.peers.health()
            return merge_health([self.part(), *others]), server
        if self._process.reloader is None:
            return self.part(), ServerHealth(workers=[], faults=[], reload={})
        reloader = self._process.reloader
        return self.part(), ServerHealth(workers=[], faults=reloader.faults(), reload=reloader.describe())

    def _uptime_s(self) -> float:
        return round(time.monotonic() - self._process.started_s, 3)


def count_states(states: States, name: str) -> Counter[str]:
    """Add up a number of the `states` (`queued` or `lost`) by type."""
    counts: Counter[str] = Counter()
    for type_, state in states:
        count = state.get(name)
        if isinstance(count, int):
            counts[type_] += count
    return counts


def record_samples(states: States) -> Iterator[Sample]:
    """Yield how much waits to be written, and what was lost, by type of middleware."""
    for type_, count in sorted(count_states(states, "lost").items()):
        yield Sample(
            name="llmproxy_records_lost_total",
            help="Records that a middleware could not write.",
            counter=True,
            value=count,
            labels=(("middleware", type_),),
        )
    for type_, count in sorted(count_states(states, "queued").items()):
        yield Sample(
            name="llmproxy_records_queued",
            help="Records that wait to be written.",
            value=count,
            labels=(("middleware", type_),),
        )


def _faults(health: HealthPart, server: ServerHealth) -> list[str]:
    """Return a sentence for each thing that does not work."""
    states = [f"{type_}: {state['fault']}" for type_, state in health.states if state.get("fault")]
    return [*states, *health.out.values(), *server.faults]


def _status(stopping: bool, faults: Sequence[str]) -> str:
    return "stopping" if stopping else "degraded" if faults else "ok"


def _settings(config: Mapping[str, object]) -> dict[str, object]:
    """Return the settings that `/healthz` shows: the first limit of requests, the request log, CORS."""
    limits = config.get("limits")
    rows = [row for row in (limits if isinstance(limits, (list, tuple)) else ()) if isinstance(row, Mapping)]
    limit = next((row for row in rows if row.get("requests") is not None), None)
    logged = _section(config, "logging")
    return {
        "rate_limit": {
            "enabled": limit is not None,
            "window_seconds": _WINDOW_S if limit is None else _whole(limit.get("per")),
            "max_requests": _MOST_REQUESTS if limit is None else limit.get("requests"),
        },
        "logging": {"enabled": bool(logged.get("requests")), "level": str(logged.get("level", "info")).upper()},
        "cors": {"allow_origins": _section(_section(config, "server"), "cors").get("allow_origins", [])},
    }


def _section(config: Mapping[str, object], name: str) -> Mapping[str, object]:
    section = config.get(name)
    return section if isinstance(section, Mapping) else {}


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value
