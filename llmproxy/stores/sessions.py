"""The facet `SessionStore`: which conversations there are, by what they are recognised, and what they used.

Begin reading at `SessionStore.touch`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import msgspec


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """One request of a conversation, as `SessionStore.touch` gets it.

    `keys` are looked up in order, the first that is known counts; `learn` are the keys by which later requests find
    the same session. When none of `keys` is known, `session` is continued or begun; None gives up. `tenant` says who
    asks and `client` how to show them. `now_s` is the wall clock. Keys and tenants are digests or short names.
    """

    tenant: str
    client: str
    keys: Sequence[str]
    learn: Sequence[str]
    session: str | None
    now_s: float


class VisitResult(msgspec.Struct, frozen=True, kw_only=True):
    """The session of a visit. `place` is the index of the key that was known, None when none was; `created` says that
    it began with this visit."""

    session: str
    place: int | None
    created: bool


class RecentSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session that its client used lately, and the end of what was said in it, as `SessionOutcome.sketch` told it."""

    session: str
    sketch: bytes


class SessionOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one exchange adds to its session: a request, perhaps an error, tokens, models, keys and a piece of sketch.

    `sketch` is appended to what is kept of the session, of which the last SKETCH_BYTES stay.
    """

    session: str
    tenant: str
    error: bool = False
    model: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    learn: Sequence[str] = ()
    sketch: bytes = b""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One conversation. Times are the wall clock in seconds; `models` in the order of their first use, at most
    MAX_MODELS."""

    id: str
    client: str
    started_s: float
    seen_s: float
    requests: int
    errors: int
    input_tokens: int
    output_tokens: int
    models: Sequence[str]


class SessionCounts(msgspec.Struct, frozen=True, kw_only=True):
    """`active` sessions in the store; those that ended, as far as this process saw it."""

    active: int
    expired: int
    evicted: int


RECENT = 8  # sessions of a client that `SessionStore.recent` gives
SKETCH_BYTES = 8192
MAX_MODELS = 16
MAX_KEYS = 64  # keys by which a session is known; the oldest goes


class SessionStore(ABC):
    """What replicas must agree on. Each operation is atomic; every one but `settle` raises StoreFault.

    Sessions: at most `max_sessions`, the longest unused goes; one that was not used for `ttl_s` seconds is over. Both
    cost O(1) a visit, whatever the number of sessions (O(log n) where an index keeps the order). A session and its keys
    belong to one tenant: the same key of another is another key. `available` says that the store answered last time.
    """

    available: bool = True

    async def start(self) -> None:  # noqa: B027  # not every store owns something
        """Called once, before anything is asked. A store that cannot be reached yet is no fault."""

    async def close(self) -> None:  # noqa: B027  # not every store owns something
        """Called once: finish what was begun, give back what is owned."""

    @abstractmethod
    async def touch(self, visit: Visit) -> VisitResult | None:
        """Continue or begin the visit's session: it was used just now, and is known by `learn` as well.

        None when none of `keys` is known and `session` is None; then nothing changes. A `session` that lives and
        belongs to another tenant is left alone: the visit gets `session~` and the first 8 characters of its tenant,
        once more while that too is another's.
        """

    @abstractmethod
    async def recent(self, tenant: str) -> Sequence[RecentSession]:
        """The last RECENT living sessions of `tenant`, the last used first."""

    @abstractmethod
    def settle(self, outcome: SessionOutcome) -> None:
        """Add what an exchange brought, soon. Never blocks or raises; what the store cannot take is lost. A session
        that is over meanwhile is not begun again."""

    @abstractmethod
    async def session(self, name: str) -> Session | None:
        """The living session called `name`."""

    @abstractmethod
    async def sessions(self, limit: int) -> Sequence[Session]:
        """Living sessions, the last used first, at most `limit`."""

    @abstractmethod
    async def counts(self) -> SessionCounts:
        """The figures of all sessions."""
