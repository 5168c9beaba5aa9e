"""One client request and all we learn about it: Exchange, its Body, the Answer that goes back.

These are the values that every hook, provider and the server share. Nothing here does I/O or knows a vendor. Bodies
are opened only as far as somebody asks: `Body.members` reads the top level, once. Begin reading at `Exchange`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from multidict import CIMultiDict

from llmproxy.dialects.base import Endpoint, Summary
from llmproxy.errors import BadRequest, Overloaded, ProxyError
from llmproxy.wire.compression import decompress
from llmproxy.wire.json import Members, read_members, read_value, remove_member, replace_member

if TYPE_CHECKING:
    from llmproxy.dialects.translate import Translation
    from llmproxy.target import Origin, Route, Target

Headers = CIMultiDict[str]

CREDENTIALS = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
"""The headers in which clients send a credential for a provider, each as its vendor's SDK does."""


class Body:
    """A request body that is held in memory.

    `raw` is what goes upstream: the client's bytes, until a top-level member is replaced or removed. `encoding` is
    the content-encoding of `raw` ("" for identity). Reading works on a decoded copy of at most `limit_bytes`;
    changing a member of a compressed body sends the decoded bytes, so `encoding` becomes "".
    """

    __slots__ = ("_content", "_decoded", "_limit_bytes", "_members", "_model", "_strict", "encoding", "raw")

    def __init__(self, raw: bytes, encoding: str = "", limit_bytes: int = 64 * 1024 * 1024) -> None:
        self.raw = raw
        self.encoding = encoding
        self._limit_bytes = limit_bytes
        self._decoded: bytes | None = None if encoding else raw
        self._content: dict[str, Any] | None = None
        self._members: Members | None = None
        self._model: str | None = None
        self._strict = False

    @property
    def decoded(self) -> bytes:
        """The identity-coded bytes. Raises BadRequest when they cannot be decoded, 413 when they are too many."""
        if self._decoded is None:
            self._decoded = decompress(self.raw, self.encoding, self._limit_bytes)
        return self._decoded

    @property
    def members(self) -> Members:
        """The raw JSON of each top-level member; empty when the body is no JSON object."""
        if self._members is None:
            self._members = read_members(self.decoded)
        return self._members

    @property
    def content(self) -> dict[str, Any]:
        """The whole decoded JSON object, to be read only; empty when the body is none. Members are cheaper."""
        if self._content is None:
            try:
                value, self._strict = msgspec.json.decode(self.decoded), True
            except (ValueError, RecursionError):
                value, self._strict = read_value(self.decoded), False
            self._content = value if isinstance(value, dict) else {}
        return self._content

    @property
    def strict(self) -> bool:
        """Whether the body is JSON as the standard has it: no NaN, no lone surrogates, of which no reader is sure."""
        return bool(self.content) and self._strict

    @property
    def model(self) -> str | None:
        """The top-level member `model` when it is a string."""
        if self._model is None:
            self._model = self.text("model")
        return self._model

    def flag(self, name: str) -> bool:
        """Whether the top-level member `name` is true."""
        raw = self.members.get(name)
        return raw is not None and bytes(raw) == b"true"

    def text(self, name: str) -> str | None:
        """The top-level member `name` when it is a string."""
        value = self.value(name)
        return value if isinstance(value, str) else None

    def value(self, name: str) -> object:
        """The decoded top-level member `name`; None when it is absent."""
        raw = self.members.get(name)
        return None if raw is None else read_value(raw)

    def replace(self, name: str, raw: bytes) -> None:
        """Put the JSON `raw` in place of the top-level member `name`, or add it; all other bytes stay as they are.

        Raises BadRequest when the body is no JSON object or holds a key twice.
        """
        self._change(replace_member(self.decoded, name, raw))

    def remove(self, name: str) -> None:
        """Take the top-level member `name` out, when it is there; all other members keep their bytes and order."""
        self._change(remove_member(self.decoded, name))

    def _change(self, raw: bytes) -> None:
        self.raw = self._decoded = raw
        self.encoding = ""
        self._content = self._members = self._model = None


class ByteStream(Protocol):
    """Bytes that arrive over time: the rest of an answer, or a request body that is not held."""

    async def read(self) -> bytes:
        """The next bytes as they came; b"" after the last. Raises BrokenStream when they end too early.

        Cancelled, it has lost nothing, and may be called again.
        """

    def close(self) -> None:
        """No more is wanted: give the connection back, or cut it when bytes are still to come. May be called twice."""


@dataclass(slots=True, kw_only=True)
class StreamedBody:
    """A request body that passes through. `length` is None when the client sent it in chunks."""

    stream: ByteStream
    length: int | None


@dataclass(slots=True, kw_only=True)
class UpstreamRequest:
    """What one call to a provider sends. `target` is path and query, byte for byte; `headers` are end-to-end headers
    only (no Host, no framing), credentials in place.
    """

    origin: Origin
    method: str
    target: str
    headers: Headers
    body: Body | StreamedBody | None


@dataclass(slots=True, kw_only=True)
class Answer:
    """What goes back to the client.

    `body` holds what is already here; `stream` the rest, None when `body` is everything. `headers` are end-to-end
    headers without framing; on_response hooks may change them. `length` is the declared size of the whole body, None
    when unknown. `error` is set when the answer is ours because something failed. `bodiless` marks answers that carry
    no body whatever their headers say (HEAD, 204, 304); `length` is then what they declare.
    """

    status: int
    headers: Headers
    body: bytes = b""
    stream: ByteStream | None = None
    length: int | None = None
    reason: str = ""
    bodiless: bool = False
    error: ProxyError | None = None

    @property
    def event_stream(self) -> bool:
        """Whether the body is server-sent events."""
        return self.headers.get("Content-Type", "")[:17].lower() == "text/event-stream"

    def close(self) -> None:
        """The rest of the body is not wanted."""
        if self.stream is not None:
            self.stream.close()


class Held:
    """How many bytes of bodies are in memory, over all exchanges, against one limit (`server.max_held_bytes`)."""

    __slots__ = ("limit_bytes", "used_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0

    def take(self, exchange: Exchange, size_bytes: int) -> None:
        """Count `size_bytes` for `exchange`. Raises Overloaded when that is more than may be held."""
        if self.used_bytes + size_bytes > self.limit_bytes:
            raise Overloaded("The proxy holds as many bytes of requests and answers as it may; try again shortly")
        self.used_bytes += size_bytes
        exchange.held_bytes += size_bytes
        exchange.holder = self

    def give(self, exchange: Exchange) -> None:
        """Whatever `exchange` held is gone."""
        self.used_bytes -= exchange.held_bytes
        exchange.held_bytes = 0


@dataclass(slots=True, kw_only=True)
class Client:
    """Who asks.

    `tenant` separates what must never be shared between clients; `name` is the client key's, when there is one.
    """

    address: str
    agent: str = ""
    name: str | None = None
    tenant: str = ""


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One call to one target. Times are seconds since the exchange began; `url` has no credentials."""

    provider: str
    model: str | None
    url: str = ""
    status: int | None = None
    error: str | None = None
    started_s: float = 0.0
    ended_s: float | None = None


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One client request and all we learn about it, until the last byte of the answer.

    `path` is below the provider's prefix where there is one, `full_path` as the client sent it; `query` is without the
    question mark, None where there is none; all byte for byte (surrogateescape). `headers` are the client's, hooks may
    change them. `model` is what the client asked for; setting it to another name routes again. `started_s` is
    `time.monotonic()`, `began_s` the wall clock; `first_byte_s`, `first_token_s` and `ended_s` are monotonic as well.
    `status` is what the client got, None when it left before. `request_id` is what the client sees as `x-request-id`:
    its own when it sent a short printable one, else `id`. `outcome` is `complete`, `incomplete` (a stream without its
    last event), `cancelled` (the client left), `broken` (the answer broke off) or `error` (ours). `muted` names the
    middlewares whose watching hooks failed; `notes` is where middlewares leave things, each under its own name.
    `session` is the conversation's id, when a middleware recognised one. `cache` is `hit` when an answer was there
    already, `miss` or `bypass` when it was not or was not asked for, None without a cache. `dropped` lists what
    translation could not carry, each as a JSON path. `own` says that it asks for one of our own pages. `holder` counts
    what it holds.
    """

    id: str
    method: str
    full_path: str
    path: str
    query: str | None
    headers: Headers
    client: Client
    started_s: float
    began_s: float
    endpoint: Endpoint | None = None
    template: str = ""
    request_id: str = ""
    body: Body | StreamedBody | None = None
    model: str | None = None
    stream: bool = False
    route: Route | None = None
    target: Target | None = None
    attempts: list[Attempt] = field(default_factory=list)
    answer: Answer | None = None
    summary: Summary = field(default_factory=Summary)
    status: int | None = None
    sent_bytes: int = 0
    held_bytes: int = 0
    first_byte_s: float | None = None
    first_token_s: float | None = None
    ended_s: float | None = None
    outcome: str = ""
    error: ProxyError | None = None
    muted: set[str] = field(default_factory=set)
    notes: dict[str, object] = field(default_factory=dict)
    session: str | None = None
    cache: str | None = None
    dropped: list[str] = field(default_factory=list)
    translation: Translation | None = None
    own: bool = False
    holder: Held | None = None

    def hold(self, size_bytes: int) -> None:
        """Count more bytes that are in memory for it. Raises Overloaded. Nothing is counted before its body was."""
        if self.holder is not None:
            self.holder.take(self, size_bytes)

    def let_go(self) -> None:
        """Whatever was held for it is gone."""
        if self.holder is not None:
            self.holder.give(self)

    def view(self) -> Exchange:
        """Another exchange with the same values, for who is to see some of them changed. `copy.copy` takes 12 µs."""
        made = object.__new__(Exchange)
        for name in Exchange.__slots__:
            setattr(made, name, getattr(self, name))
        return made

    @property
    def held(self) -> Body:
        """The body, when it is one that can be read. Raises BadRequest when there is none or it passes through."""
        if isinstance(self.body, Body):
            return self.body
        raise BadRequest(f"{self.method} {self.full_path} needs a body")


async def iterate(stream: ByteStream) -> AsyncIterator[bytes]:
    """The reads of `stream`, one by one."""
    while data := await stream.read():
        yield data
