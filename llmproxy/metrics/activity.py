"""Counts requests by client and by session, and the request rate of the last minute.

`Activity.count` runs on the hot path, once for each exchange. Clients and sessions have names that others choose, so
only the most recent ones are kept. Begin reading at `Activity`.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from llmproxy.exchange import Exchange
from llmproxy.metrics.tokens import TokenCounters

MAX_CLIENTS = 1000
MAX_SESSIONS = 10_000
WINDOW_S = 60
ACTIVE_S = 3600


class Rate:
    """Number of events per second in the last minute."""

    __slots__ = ("_counts", "_seconds")

    def __init__(self) -> None:
        self._counts = [0] * WINDOW_S
        self._seconds = [-1] * WINDOW_S

    def add(self, now_s: float, count: int = 1) -> None:
        """Count events at `now_s` (`time.monotonic()`)."""
        second = int(now_s)
        slot = second % WINDOW_S
        if self._seconds[slot] != second:
            if self._seconds[slot] > second:
                return  # of another worker, from longer ago than the window
            self._seconds[slot] = second
            self._counts[slot] = 0
        self._counts[slot] += count

    def events(self) -> list[tuple[int, int]]:
        """Return the events of each second that is remembered: second and count."""
        return [(second, count) for second, count in zip(self._seconds, self._counts, strict=True) if count]

    def per_second(self, now_s: float, uptime_s: float) -> float:
        """Return events per second over the last minute, or over `uptime_s` when counting began later than that."""
        after = int(now_s) - WINDOW_S
        count = sum(each for each, second in zip(self._counts, self._seconds, strict=True) if second > after)
        return count / min(max(uptime_s, 1.0), WINDOW_S)


@dataclass(slots=True, kw_only=True)
class ActivityCounters(TokenCounters):
    """Counters of one client or session. Times are `time.monotonic()`."""

    client: str
    first_s: float
    last_s: float = 0.0
    requests: int = 0
    succeeded: int = 0
    cancelled: int = 0
    spent_s: float = 0.0

    def add(self, exchange: Exchange, outcome: str, ended_s: float) -> None:
        """Count one exchange."""
        self.requests += 1
        if outcome == "success":
            self.succeeded += 1
        elif outcome == "cancelled":
            self.cancelled += 1
        self.spent_s += ended_s - exchange.started_s
        self.last_s = ended_s
        self.add_usage(exchange.summary.usage)
        self.add_cost(exchange.cost_usd, unknown=exchange.cost_usd is None and exchange.cost_unknown)


class Activity:
    """Counters of clients and sessions, the most recent last. `sessions_begun` counts all sessions since the start."""

    def __init__(self) -> None:
        self.rate = Rate()
        self.clients: OrderedDict[str, ActivityCounters] = OrderedDict()
        self.sessions: OrderedDict[str, ActivityCounters] = OrderedDict()
        self.sessions_begun = 0

    def count(self, exchange: Exchange, outcome: str, ended_s: float) -> None:
        """Count an exchange that ended; `outcome` is that of `CallLabels`."""
        self.rate.add(ended_s)
        name = exchange.client.label
        client = self.clients.get(name)
        if client is None:
            client = self.clients[name] = ActivityCounters(client=name, first_s=exchange.started_s)
            if len(self.clients) > MAX_CLIENTS:
                self.clients.popitem(last=False)
        else:
            self.clients.move_to_end(name)
        client.add(exchange, outcome, ended_s)
        session_id = exchange.session_id
        if session_id is not None:
            session = self._session(session_id, exchange)
            session.client = name
            session.add(exchange, outcome, ended_s)

    def active_sessions(self, now_s: float) -> int:
        """Return how many sessions had a request within the last hour."""
        active = 0
        for session in reversed(self.sessions.values()):
            if session.last_s <= now_s - ACTIVE_S:
                break
            active += 1
        return active

    def _session(self, name: str, exchange: Exchange) -> ActivityCounters:
        session = self.sessions.get(name)
        if session is not None:
            self.sessions.move_to_end(name)
            return session
        session = self.sessions[name] = ActivityCounters(client="", first_s=exchange.started_s)
        self.sessions_begun += 1
        if len(self.sessions) > MAX_SESSIONS:
            self.sessions.popitem(last=False)
        return session
