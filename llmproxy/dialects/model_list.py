"""The list of models that clients ask for, before a dialect writes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

_YEAR_9999_S = 253_370_764_800
EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedModel:
    """One model under the name by which clients call it here. `members` are those that its provider gave, if any."""

    id: str
    owner: str
    members: Mapping[str, object]

    @property
    def created_s(self) -> int:
        """Return seconds since the epoch; 0 where its provider sent no time, or one that cannot be read."""
        seconds, text = self.members.get("created"), self.members.get("created_at")
        if isinstance(seconds, (int, float)):
            return int(seconds) if 0 <= seconds < _YEAR_9999_S else 0
        try:
            moment = datetime.fromisoformat(text) if isinstance(text, str) else EPOCH
        except ValueError:
            return 0
        return max(0, int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelPages:
    """How a dialect writes one model, and the whole list for a request with that query string."""

    one: Callable[[ListedModel], dict[str, object]]
    all: Callable[[Sequence[ListedModel], str | None], dict[str, object]]
