"""What our own pages show: the process that serves, and the configuration in effect.

These are values without I/O, made in `app.py`; `admin.py` and `health.py` write pages from them. Begin reading at
`ProcessState`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from llmproxy.exchange import Exchange
from llmproxy.metrics.counters import Metrics
from llmproxy.middleware.base import Middleware
from llmproxy.routing.health import Health
from llmproxy.server.peers import Peers
from llmproxy.server.reloading import Reloader
from llmproxy.target import Provider


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessState:
    """The serving process, which outlives configurations.

    `started_s` is `time.monotonic()` at the start, `stopping` says whether the server is about to end, `health` how
    well all targets do, `reloader` reloads the configuration. `running` gives the exchanges in flight, `waiting` counts
    the requests that wait for their turn. `peers` are the workers of the server where there are several: pages show all
    of them then, and `pid` is the process id of their parent.
    """

    version: str
    started_s: float
    metrics: Metrics
    health: Health = field(default_factory=Health)
    stopping: Callable[[], bool] = lambda: False
    running: Callable[[], Mapping[str, Exchange]] = dict
    waiting: Callable[[], int] = lambda: 0
    reloader: Reloader | None = None
    peers: Peers | None = None
    pid: int = field(default_factory=os.getpid)


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveConfig:
    """One configuration and what was built from it.

    `values` is the whole configuration, defaults included, with its secrets. `file` says where it came from,
    `key_sources` in words where each provider's key came from. `providers` are the enabled ones, and so are
    `middlewares`, with their types. `reporters` are those who report every exchange, by name, with what they say of
    their state.
    """

    file: str | None = None
    values: Mapping[str, object] = field(default_factory=dict)
    key_sources: Mapping[str, str] = field(default_factory=dict)
    providers: Sequence[Provider] = ()
    middlewares: Sequence[tuple[str, Middleware]] = ()
    reporters: Sequence[tuple[str, Callable[[], Mapping[str, object]]]] = ()
