"""One client request and all we learn about it.

These are the values that every hook, provider and the server share. Nothing here does I/O or knows a vendor. Bodies
are opened only as far as somebody asks: `Body.members` reads the top level, once. Begin reading at `Exchange`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from llmproxy.answer import Answer
from llmproxy.call import Call
from llmproxy.client_request import ClientRequest
from llmproxy.dialects.summary import Summary
from llmproxy.errors import Overloaded, ProxyError
from llmproxy.route import Route
from llmproxy.target import Target
from llmproxy.wire.text import replace_surrogates

SESSION_HEADER = "x-llmproxy-session"
"""The header that names the session in answers."""

SESSION_HEADERS = ("x-session-id", SESSION_HEADER, "x-claude-code-session-id", "session-id", "session_id")
"""The headers in which clients name their session; the first one that is present counts."""

_SESSION_LENGTH = 200


class MemoryBudget:
    """Counts the bytes that all exchanges hold in memory, against one limit (`server.max_held_bytes`)."""

    __slots__ = ("limit_bytes", "used_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0

    def take(self, exchange: Exchange, size_bytes: int) -> None:
        """Count `size_bytes` for `exchange`. Raises Overloaded beyond the limit."""
        if self.used_bytes + size_bytes > self.limit_bytes:
            raise Overloaded("The proxy holds too many requests and answers (server.max_held_bytes). Try again shortly")
        self.used_bytes += size_bytes
        exchange.held_bytes += size_bytes
        exchange.holder = self

    def give(self, exchange: Exchange) -> None:
        """Release everything that `exchange` holds."""
        self.used_bytes -= exchange.held_bytes
        exchange.held_bytes = 0


@dataclass(slots=True, kw_only=True)
class Exchange(ClientRequest):
    """One client request and all we learn about it, until the last byte of the answer.

    `calls` are the calls made for it, in order, and `call` is the one whose answer it gets: the last of them, or one
    that was made for another exchange with the same request. `summary` says what the client's answer says.
    `status` is what the client got, None when it left before. `first_token_s` and `ended_s` are `time.monotonic()`.
    `outcome` is `complete`, `incomplete` (a stream without its last event), `cancelled` (the client left), `broken`
    (the answer broke off) or `error` (ours). `muted` names the middlewares whose watching hooks failed; `notes` is
    where middlewares leave things, each under its own name.
    `session` is the conversation's id, when a middleware recognised one, and `thread` names one beside the main one in
    it, such as that of a subagent. `cache` is `hit` when an answer was there
    already, `miss` or `bypass` when it was not or was not asked for, None without a cache. `own` says that it asks for
    one of our own pages. `holder` counts what it holds.
    """

    route: Route | None = None
    call: Call | None = None
    calls: list[Call] = field(default_factory=list)
    answer: Answer | None = None
    summary: Summary = field(default_factory=Summary)
    status: int | None = None
    sent_bytes: int = 0
    held_bytes: int = 0
    first_token_s: float | None = None
    ended_s: float | None = None
    outcome: str = ""
    error: ProxyError | None = None
    muted: set[str] = field(default_factory=set)
    notes: dict[str, object] = field(default_factory=dict)
    session: str | None = None
    thread: str | None = None
    cache: str | None = None
    own: bool = False
    holder: MemoryBudget | None = None

    @property
    def target(self) -> Target | None:
        """Return the target that was called last for it; None when no call was made for it."""
        return self.calls[-1].target if self.calls else None

    @property
    def dropped(self) -> list[str]:
        """Return the JSON paths that translation could not carry."""
        return [] if self.call is None else self.call.dropped

    def hold(self, size_bytes: int) -> None:
        """Count more bytes that are in memory for it. Raises Overloaded. Nothing is counted before its body."""
        if self.holder is not None:
            self.holder.take(self, size_bytes)

    def let_go(self) -> None:
        """Release everything that is in memory for it."""
        if self.holder is not None:
            self.holder.give(self)

    def view(self) -> Exchange:
        """Return a copy, for callers that change some of its values. `copy.copy` takes 12 µs."""
        view = object.__new__(Exchange)
        for name in _FIELDS:
            setattr(view, name, getattr(self, name))
        return view

    @property
    def session_id(self) -> str | None:
        """Return `session`, else the session that the client names in a header; cut to 200 characters."""
        name = self.session
        if name is None:
            headers = self.headers
            name = next((value for header in SESSION_HEADERS if (value := headers.get(header))), None)
        return None if name is None else replace_surrogates(name[:_SESSION_LENGTH])


_FIELDS = tuple(field.name for field in fields(Exchange))
