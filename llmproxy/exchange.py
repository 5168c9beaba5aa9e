"""One client request and all we learn about it.

These are the values that every hook, provider and the server share. Nothing here does I/O or knows a vendor. Bodies
are opened only as far as somebody asks: `Body.members` reads the top level, once. Begin reading at `Exchange`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from copy import copy

import msgspec

from llmproxy.answer import Answer, Headers
from llmproxy.body import Body
from llmproxy.call import Call
from llmproxy.client_request import SESSION_HEADERS, SESSION_LENGTH, ClientRequest
from llmproxy.dialects.codec import Codec
from llmproxy.dialects.derived import neutral_request
from llmproxy.dialects.model import Text
from llmproxy.dialects.summary import Summary
from llmproxy.errors import Overloaded, ProxyError
from llmproxy.route import Route
from llmproxy.target import Target
from llmproxy.trace_context import TraceContext
from llmproxy.websocket_traffic import WebSocketTraffic
from llmproxy.wire.text import replace_surrogates

THREAD_HEADERS = ("x-claude-code-agent-id", "x-openai-subagent")
"""The headers in which agents name the subagent that calls, within their session."""

BURST_BYTES = 32 * 1024 * 1024

_MAIN_THREAD, _TITLE_THREAD = "main", "title"
_TITLE_CALL_BYTES = 64 * 1024
_TITLE = re.compile(
    r"(?:generat|writ|creat|com(?:e|ing) up with)\w*[^.]{0,60}\btitle|\btitle generator", re.IGNORECASE
).search


class MemoryBudget:
    """Counts the bytes that all exchanges hold in memory, against one limit (`server.max_held_bytes`).

    `relieved` is called after a burst: when less than half is held of what was, and that was BURST_BYTES or more.
    `large_bodies` is for whoever joins or reads a large body in the loop: one after the other, with traffic between.
    """

    __slots__ = ("_peak_bytes", "large_bodies", "limit_bytes", "relieved", "used_bytes")

    def __init__(self, limit_bytes: int, relieved: Callable[[], None] | None = None) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.relieved = relieved
        self.large_bodies = asyncio.Lock()
        self._peak_bytes = 0

    def hold(self, exchange: Exchange, size_bytes: int) -> None:
        """Count `size_bytes` for `exchange`. Raises Overloaded beyond the limit."""
        self.count(size_bytes)
        exchange.held_bytes += size_bytes
        exchange.budget = self

    def count(self, size_bytes: int) -> None:
        """Count `size_bytes` that belong to no exchange yet. Raises Overloaded beyond the limit."""
        if self.used_bytes + size_bytes > self.limit_bytes:
            raise Overloaded("The proxy holds too many requests and answers (server.max_held_bytes). Try again shortly")
        self.used_bytes += size_bytes
        if self.used_bytes > self._peak_bytes:
            self._peak_bytes = self.used_bytes

    def uncount(self, size_bytes: int) -> None:
        """Release `size_bytes` that `count` counted."""
        self.used_bytes -= size_bytes

    def hand_over(self, exchange: Exchange, size_bytes: int) -> None:
        """Make `size_bytes` that `count` counted those of `exchange`."""
        exchange.held_bytes += size_bytes
        exchange.budget = self

    def release(self, exchange: Exchange, size_bytes: int) -> None:
        """Release a part of what `exchange` holds."""
        self.used_bytes -= size_bytes
        exchange.held_bytes -= size_bytes

    def release_all(self, exchange: Exchange) -> None:
        """Release everything that `exchange` holds."""
        self.used_bytes -= exchange.held_bytes
        exchange.held_bytes = 0
        if self._peak_bytes >= BURST_BYTES and 2 * self.used_bytes < self._peak_bytes:
            self._peak_bytes = self.used_bytes
            if self.relieved is not None:
                self.relieved()


# A msgspec struct is made in 1.4 µs and copied for a view in 1; a dataclass in 5.2 and 10.
class Exchange(ClientRequest, kw_only=True):
    """One client request and all we learn about it, until the last byte of the answer.

    `calls` are the calls made for it, in order, and `call` is the one whose answer it gets: the last of them, or one
    that was made for another exchange with the same request. `summary` says what the client's answer says.
    `status` is what the client got, None when it left before. `received_s` (the request is here, with its body),
    `answered_s` (the head of the answer goes out), `first_token_s` and `ended_s` are `time.monotonic()`.
    `outcome` is `complete`, `incomplete` (a stream without its last event), `cancelled` (the client left), `broken`
    (the answer broke off) or `error` (ours). `muted` names the middlewares whose watching hooks failed; `notes` is
    where middlewares leave things, each under its own name. `cache` is `hit` when an answer was there
    already, `miss` or `bypass` when it was not or was not asked for, None without a cache. `rerouted_from` is the
    model that the client asked for, where a budget sent the request to another. `own` says that it asks for
    one of our own pages. `budget` counts what it holds in memory.
    `trace` is its place in a distributed trace, where that is known.
    `cost_usd` is what its calls cost, set before `on_end`; 0 when none was made for it, None when that is unknown.
    `charged` says that it is set. `websocket` is what went over its WebSocket, where it has opened one.
    """

    route: Route | None = None
    call: Call | None = None
    calls: list[Call] = msgspec.field(default_factory=list)
    answer: Answer | None = None
    summary: Summary = msgspec.field(default_factory=Summary)
    status: int | None = None
    sent_bytes: int = 0
    held_bytes: int = 0
    received_s: float | None = None
    answered_s: float | None = None
    first_token_s: float | None = None
    ended_s: float | None = None
    outcome: str = ""
    error: ProxyError | None = None
    muted: set[str] = msgspec.field(default_factory=set)
    notes: dict[str, object] = msgspec.field(default_factory=dict)
    cache: str | None = None
    rerouted_from: str | None = None
    own: bool = False
    trace: TraceContext | None = None
    budget: MemoryBudget | None = None
    cost_usd: float | None = None
    charged: bool = False
    websocket: WebSocketTraffic | None = None

    @property
    def target(self) -> Target | None:
        """Return the target that was called last for it; None when no call was made for it."""
        return self.calls[-1].target if self.calls else None

    @property
    def cost_unknown(self) -> bool:
        """Return whether a call to a model was made whose cost is unknown."""
        return self.cost_usd is None and self.model is not None and bool(self.calls)

    @property
    def upstream_s(self) -> float:
        """Return how many seconds its calls took until each answer was certain, translation not counted."""
        calls = self.calls
        return calls[0].upstream_s if len(calls) == 1 else sum(call.upstream_s for call in calls)

    @property
    def dropped(self) -> list[str]:
        """Return the JSON paths that translation could not carry."""
        return [] if self.call is None else self.call.dropped

    def hold(self, size_bytes: int) -> None:
        """Count more bytes that are in memory for it. Raises Overloaded."""
        if self.budget is not None:
            self.budget.hold(self, size_bytes)

    def release(self, size_bytes: int) -> None:
        """Release some of the bytes that `hold` counted."""
        if self.budget is not None:
            self.budget.release(self, size_bytes)

    def release_all(self) -> None:
        """Release everything that is in memory for it."""
        if self.budget is not None:
            self.budget.release_all(self)

    def view(self) -> Exchange:
        """Return a copy, for callers that change some of its values."""
        return copy(self)

    @property
    def thread_id(self) -> str | None:
        """Return the name of the thread within the session: the subagent that a header names, or `title` for a call
        that only names the session; None for the main thread."""
        headers = self.headers
        for header in THREAD_HEADERS:
            if name := headers.get(header):
                if name != _MAIN_THREAD:
                    return replace_surrogates(name[:SESSION_LENGTH])
                break
        codec = None if self.endpoint is None else self.endpoint.dialect.codec
        if codec is None or not isinstance(self.body, Body):
            return None
        return _TITLE_THREAD if _names_session(self.body, codec, headers) else None


def _names_session(body: Body, codec: Codec, headers: Headers) -> bool:
    """Return whether a request only asks for a title of its session, as agents do beside the conversation: it offers no
    tools, and its instructions, or the schema of its answer, speak of a title. A header or the body has to name the
    session."""
    raw = body.raw
    if len(raw) > _TITLE_CALL_BYTES or raw.find(b"title") < 0 or body.encoding:
        return False
    if raw.find(b"user_id") < 0 and not any(header in headers for header in SESSION_HEADERS):
        return False
    request = neutral_request(codec, raw)
    if request is None or request.tools:
        return False
    later = [message for message in request.messages if message.role in ("system", "developer")]
    blocks = [block for instruction in request.system for block in instruction.content]
    blocks += [block for message in later for block in message.content if isinstance(block, Text)]
    rules = " ".join(block.text for block in blocks)
    schema = request.format.schema if request.format is not None else None
    return bool(_TITLE(rules)) or "title" in ((schema or {}).get("properties") or {})
