"""The facet `SessionStore`: which conversations there are, the keys that identify them, and what they used.

Begin reading at `SessionStore.touch`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import msgspec

from llmproxy.stores.facet import Facet

RECENT = 8  # sessions of a tenant that `SessionStore.recent` returns
SKETCH_BYTES = 8192
MAX_MODELS = 16
MAX_SESSION_TOKENS = 1 << 53  # counts do not go beyond: numbers of Lua and of MessagePack end
MAX_KEYS = 64  # keys of one session; the oldest is removed


class Visit(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One request of a conversation, as `SessionStore.touch` gets it.

    `keys` are looked up in order, the first that is known counts; `learn` are the keys by which later requests find
    the same session. When none of `keys` is known, `session` is continued or begun; None begins nothing. `tenant` is
    whose the session is, `client` how to display them. `now_s` is the wall clock. Keys and tenants are digests or short
    names.
    """

    tenant: str
    client: str
    keys: Sequence[str]
    learn: Sequence[str]
    session: str | None
    now_s: float


class VisitResult(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The session of a visit. `place` is the index of the key that was known, None when none was; `created` is true
    for the first visit."""

    session: str
    place: int | None
    created: bool


class RecentSession(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A session that its client used lately, and the sketch of the end of its conversation."""

    session: str
    sketch: bytes


class SessionOutcome(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What one exchange adds to its session: a request, perhaps an error, tokens, a model, keys and a piece of sketch.

    `cached_tokens` are those of the input that the provider read from its prompt cache. `cost_unknown` says that it has
    a cost that nobody knows. `sketch` is appended to the session's own, of which the
    last SKETCH_BYTES stay.
    """

    session: str
    tenant: str
    error: bool = False
    model: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float = 0.0
    cost_unknown: bool = False
    learn: Sequence[str] = ()
    sketch: bytes = b""

    def __post_init__(self) -> None:
        for name in ("input_tokens", "output_tokens", "cached_tokens"):  # words of a provider
            if getattr(self, name) > MAX_SESSION_TOKENS:
                msgspec.structs.force_setattr(self, name, MAX_SESSION_TOKENS)


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One conversation. Times are the wall clock in seconds; `cost_unknown` counts requests whose cost is unknown;
    `models` in the order of their first use, at most MAX_MODELS."""

    id: str
    client: str
    started_s: float
    seen_s: float
    requests: int
    errors: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    cost_usd: float = 0.0
    cost_unknown: int = 0
    models: tuple[str, ...]


class SessionCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many sessions are `active` in the store, and how many ended, as far as this process saw it."""

    active: int
    expired: int
    evicted: int


class SessionStore(Facet):
    """Sessions. Each operation is atomic; every one but `settle` raises StoreFault.

    At most `max_sessions` are kept, the longest unused are removed; one that was not used for `ttl_s` seconds is over.
    A visit costs O(1), whatever the number of sessions (O(log n) where an index keeps the order). A session and its
    keys belong to one tenant: the same key of another tenant is another key.
    """

    @abstractmethod
    async def touch(self, visit: Visit) -> VisitResult | None:
        """Continue or begin the visit's session: note its use, and add the keys in `learn`.

        Return None, and change nothing, when none of `keys` is known and `session` is None. A `session` that lives and
        belongs to another tenant is left alone: the visit gets `session~` and the first 8 characters of its tenant,
        once more while that too is another's.
        """

    @abstractmethod
    async def recent(self, tenant: str) -> Sequence[RecentSession]:
        """Return the last RECENT living sessions of `tenant`, the last used first."""

    @abstractmethod
    def settle(self, outcome: SessionOutcome) -> None:
        """Add soon what an exchange brought. Never block or raise; what the store cannot take is lost. A session that
        is over by then is not begun again."""

    @abstractmethod
    async def session(self, name: str) -> Session | None:
        """Return the living session called `name`."""

    @abstractmethod
    async def sessions(self, limit: int) -> Sequence[Session]:
        """Return living sessions, the last used first, at most `limit`."""

    @abstractmethod
    async def counts(self) -> SessionCounts:
        """Count the sessions."""
