"""Ids of calls and results where gemini has none: it pairs them by the name of the function and their order.

Ids that were made up begin with `noid_`, so that they are left out again. Begin reading at `CallIds`.
"""

from __future__ import annotations

import uuid

MADE_UP = "noid_"


def new_id() -> str:
    """Return an id for a call in an answer, which no other call has."""
    return f"{MADE_UP}{uuid.uuid4().hex[:24]}"


def is_made_up(call_id: str) -> bool:
    """Return whether a call had no id of its own."""
    return call_id.startswith(MADE_UP)


class CallIds:
    """Pairs the calls and results of one request, in their order. Its ids are the same each time, as its texts are."""

    def __init__(self) -> None:
        self._waiting: list[tuple[str, str]] = []
        self._made = 0

    def call(self, call_id: str | None, name: str) -> str:
        """Return the id of a call: its own, or one that is made up."""
        known_id = call_id or self._make()
        self._waiting.append((known_id, name))
        return known_id

    def result(self, call_id: str | None, name: str) -> str:
        """Return the id of the call that a result answers: of that name, or the first that waits."""
        if call_id:
            known = (each for each in self._waiting if each[0] == call_id)
        else:
            known = (each for each in self._waiting if each[1] == name)
        found = next(known, None)
        if found is None and not call_id and self._waiting and not name:
            found = self._waiting[0]
        if found is None:
            return call_id or self._make()
        self._waiting.remove(found)
        return found[0]

    def _make(self) -> str:
        self._made += 1
        return f"{MADE_UP}{self._made}"
