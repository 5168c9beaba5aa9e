"""Let requests wait whose targets are all at their limit: in a line for each route, in turn by client.

Within a client the first comes first; among clients one request each. Who is first in line tries, all others wait for
their turn, and so does who comes later. Begin reading at `LimitLines.enter`.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

MOST_WAITING = 1000
"""The most requests that wait, in all lines together."""


class LinePlace:
    """The place of a request in a line. Whoever enters leaves, whatever happens."""

    __slots__ = ("_line", "client", "first", "waiting")

    def __init__(self, line: LimitLine, client: str) -> None:
        self._line = line
        self.client = client
        self.first = asyncio.Event()
        self.waiting = True

    def leave(self) -> None:
        """Leave the line, and let the next one try. Called again it does nothing."""
        if self.waiting:
            self.waiting = False
            self._line.remove(self)


class LimitLine:
    """The requests that wait for one route."""

    def __init__(self, lines: LimitLines, route: str) -> None:
        self.freed = asyncio.Event()
        self._lines = lines
        self._route = route
        self._clients: OrderedDict[str, deque[LinePlace]] = OrderedDict()
        self._first: LinePlace | None = None

    def add(self, client: str) -> LinePlace:
        """Return a place at the end of the client's."""
        place = LinePlace(self, client)
        self._clients.setdefault(client, deque()).append(place)
        if self._first is None:
            self._call_next()
        return place

    def remove(self, place: LinePlace) -> None:
        """Take a place out, and call the next one if it was the first."""
        self._lines.waiting -= 1
        if place is self._first:
            self._first = None
            self._call_next()
        else:
            places = self._clients[place.client]
            places.remove(place)
            if not places:
                del self._clients[place.client]
        if self._first is None:
            self._lines.close(self._route)

    def _call_next(self) -> None:
        """Let the next request try: the oldest of the client whose turn it is."""
        if not self._clients:
            return
        client, places = next(iter(self._clients.items()))
        self._first = places.popleft()
        del self._clients[client]
        if places:
            self._clients[client] = places  # at the end: all others come first
        self._first.first.set()


class LimitLines:
    """The lines of all routes. `waiting` counts the requests in them, `waited` all that ever were, `refused` those that
    waited in vain or found no place."""

    def __init__(self) -> None:
        self.waiting = 0
        self.waited = 0
        self.refused = 0
        self._lines: dict[str, LimitLine] = {}

    def is_empty(self, route: str) -> bool:
        """Return whether no request waits for a route."""
        return route not in self._lines

    def enter(self, route: str, client: str) -> LinePlace | None:
        """Return a place in the line of a route; None when too many wait."""
        if self.waiting >= MOST_WAITING:
            return None
        self.waiting += 1
        self.waited += 1
        line = self._lines.get(route)
        if line is None:
            line = self._lines[route] = LimitLine(self, route)
        return line.add(client)

    def freed(self) -> None:
        """Let those who are first try again: a call to a target has ended."""
        for line in self._lines.values():
            line.freed.set()

    def freed_event(self, route: str) -> asyncio.Event:
        """Return the event that is set when a call ends, for who is first in the line of a route."""
        event = self._lines[route].freed
        event.clear()
        return event

    def close(self, route: str) -> None:
        """Forget a line that is empty."""
        self._lines.pop(route, None)
