"""Recognises conversations, without help from the client where there is none, and counts what each of them used.

A request is the session that it names; else the one that knows the longest beginning of what was said; else one of the
same client's that is alike enough; else a new one. What sessions are known by is in a store, which replicas may share;
while that cannot be asked, this process remembers alone. Begin reading at `Sessions.on_request`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
from pydantic import Field

from llmproxy.access.identity import identity_of
from llmproxy.answer import Answer
from llmproxy.body import Body
from llmproxy.dialects.history import NO_HISTORY, USER, History
from llmproxy.errors import BadRequest, ProxyError
from llmproxy.exchange import SESSION_HEADERS, Exchange
from llmproxy.metrics.sample import Sample
from llmproxy.middleware.base import Middleware, PageRequest
from llmproxy.recognition.prefix_hash import PrefixHashes
from llmproxy.recognition.session_names import SessionName, answer_key, session_name_of
from llmproxy.recognition.similarity import ComparedRequest, read_sketch, sketch
from llmproxy.settings import Duration, Whole
from llmproxy.stores.base import StoreReference
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.memory import MemorySessions
from llmproxy.stores.open_stores import Stores
from llmproxy.stores.sessions import Session, SessionOutcome, SessionStore, Visit
from llmproxy.wire.timestamp import format_timestamp

LARGE_BYTES = 1024 * 1024  # what takes longer than a millisecond to read is read in a thread
HEADER = "x-llmproxy-session"
_USUAL, _MOST = 100, 10_000
_MOST_ANSWERS = 1000
_LONGEST = 200
_METRICS = (
    ("active", "Sessions that are not over.", False),
    ("created", "Sessions begun.", True),
    ("hits", "Requests that continued a session.", True),
    ("misses", "Requests that began a session.", True),
    ("fuzzy_matches", "Requests that were recognised by their words.", True),
    ("expired", "Sessions that were not used for too long.", True),
    ("evicted", "Sessions that were pushed out by newer ones.", True),
)
_MARKS = re.compile(r"[^\w/]+")
_NUMBER = re.compile(r"[0-9]{1,9}")
_MANY_PIECES = 16  # comparing so many by their words takes longer than a millisecond

T = TypeVar("T")


class _Known(msgspec.Struct, kw_only=True):
    """What is remembered of an exchange until its end: its session in that state, and the sketch of what is new."""

    session: str
    tenant: str
    state: SessionStore
    sketch: bytes


class _Request(msgspec.Struct, kw_only=True):
    """One request, and by what its session is looked for: a name, or the hashes of what was said."""

    tenant: str
    client: str
    now_s: float
    name: SessionName | None
    history: History
    hashes: PrefixHashes | None
    resets: bool
    large: bool

    def visit(self, session: str | None, further: Sequence[str] = ()) -> Visit:
        """Looks for the session, by other keys where `further` are given, and takes `session` where none is known."""
        if self.hashes is None:
            assert self.name is not None
            keys = learn = [self.name.key]
        elif self.resets:
            # A first message is the same in every conversation that is begun so.
            keys, learn = [self.hashes.whole] if len(self.history.pieces) > 1 else [], [self.hashes.whole]
        else:
            keys, learn = self.hashes.near, self.hashes.learned
        return Visit(
            tenant=self.tenant,
            client=self.client,
            keys=further or keys,
            learn=learn,
            session=session,
            now_s=self.now_s,
        )

    def further(self) -> list[str]:
        """The keys of shorter beginnings than the first look was for."""
        return [] if self.hashes is None or self.resets else self.hashes.further()


class Sessions(Middleware):
    """Gives each exchange its session: in the header `x-llmproxy-session`, in traces, lines and figures."""

    page_path = "/sessions"

    class Config(StoreReference):
        """What a session is, how many there are, where they are kept."""

        headers: tuple[str, ...] = Field(
            default=SESSION_HEADERS,
            description="The request headers that name a session; the first that is there counts.",
        )
        max_sessions: Whole = Field(
            default=10_000, ge=1, description="How many sessions are kept; the longest unused goes."
        )
        session_ttl_seconds: Duration = Field(
            default=3600.0, gt=0, description="A session that is not used for so long is over."
        )
        similarity_threshold: float = Field(
            default=0.85,
            ge=0,
            le=1,
            description="How alike a request must be to a session of its client, where no beginning of it is known: "
            "the share of word triples in common, 0 to 1. 1 wants all of them.",
        )
        max_messages_for_new_session: Whole = Field(
            default=2,
            ge=0,
            description="A request of fewer messages that repeats none of a session is a new one, however alike.",
        )
        reset_phrases: tuple[str, ...] = Field(
            default=("/new", "/reset", "/clear", "new conversation", "new chat", "start over", "reset conversation"),
            description="A message that says just this begins a new session; case and punctuation do not count.",
        )

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._headers = tuple(name.lower() for name in config.headers)
        self._threshold = config.similarity_threshold
        self._fewest = config.max_messages_for_new_session
        self._resets = frozenset(filter(None, map(_plain, config.reset_phrases)))
        self._bounds = config.max_sessions, config.session_ttl_seconds
        self._state: SessionStore
        self._alone: SessionStore = MemorySessions(*self._bounds)
        self._store_name, self._store = config.store, ""
        self._started_s = time.monotonic()
        self._note = f"llmproxy.sessions.{id(self)}"
        self._created = self._hits = self._fuzzy = self._reset = 0
        # Answers of this process whose sessions the store is just about to learn.
        self._answers: OrderedDict[str, str] = OrderedDict()
        self._open: dict[str, Exchange] = {}

    def use_stores(self, stores: Stores) -> None:
        store = stores.open(self._store_name)
        self._store, self._state = store.type, store.sessions(*self._bounds)

    async def on_request(self, exchange: Exchange) -> Answer | None:
        request = await self._read(exchange)
        if request is None:
            return None
        try:
            state, (session, known) = self._state, await self._find(self._state, request)
        except StoreFault:
            state, (session, known) = self._alone, await self._find(self._alone, request)
        exchange.session = session
        new = request.history.pieces[known:]
        made = await _work(request.large or len(new) > _MANY_PIECES, partial(sketch, new))
        exchange.notes[self._note] = _Known(session=session, tenant=request.tenant, state=state, sketch=made)
        self._open[exchange.id] = exchange
        return None

    async def _read(self, exchange: Exchange) -> _Request | None:
        """What the request says of its conversation; None when it is none."""
        body = exchange.body if isinstance(exchange.body, Body) and exchange.endpoint is not None else None
        tenant = identity_of(exchange)
        name = session_name_of(exchange.headers, self._headers, {}, tenant)
        large = body is not None and (len(body.raw) > LARGE_BYTES or bool(body.encoding))
        content: Mapping[str, Any] = {}
        if name is None and body is not None:
            content = await _work(large, partial(_content, body))
            name = session_name_of(exchange.headers, self._headers, content, tenant)
        history, hashes = NO_HISTORY, None
        if name is None:
            if exchange.endpoint is not None:
                history = await _work(large, partial(exchange.endpoint.dialect.readers.history, content))
            if not history.pieces:
                return None
            hashes = await _work(large, partial(PrefixHashes, tenant, history.pieces))
        return _Request(
            tenant=tenant,
            client=_shortened(f"{exchange.client.label} {exchange.client.agent}".strip()),
            now_s=exchange.began_s,
            name=name,
            history=history,
            hashes=hashes,
            resets=hashes is not None and self._resets_session(history),
            large=large,
        )

    async def _find(self, state: SessionStore, request: _Request) -> tuple[str, int]:
        """The session of a request in `state`, begun where there is none, and how many of its pieces it is known by.
        Raises StoreFault."""
        before, wanted = 0, None
        if request.name is not None:
            wanted = request.name.id or self._answered_in(request.name.key, request.tenant) or _fresh()
        touched = await state.touch(request.visit(wanted))
        if touched is None and request.hashes is not None and (further := request.further()):
            before = len(request.hashes.near)
            touched = await state.touch(request.visit(None, further))
        if touched is None:
            before = 0
            like = None if request.resets else await self._alike(state, request)
            touched = await state.touch(request.visit(like or _fresh()))
            self._fuzzy += like is not None
            self._reset += request.resets
        assert touched is not None
        self._created += touched.created
        self._hits += not touched.created
        if touched.place is None or request.hashes is None:
            return touched.session, 0
        return touched.session, request.hashes.length_at(before + touched.place)

    def _answered_in(self, key: str, tenant: str) -> str | None:
        """The session of an answer that this process gave lately, or gives just now: a client may go on at the last
        event of a stream, before its end."""
        if key in self._answers:
            return self._answers[key]
        for exchange in self._open.values():
            known, name = exchange.notes.get(self._note), exchange.summary.id
            if isinstance(known, _Known) and known.tenant == tenant and name and answer_key(name, tenant) == key:
                return known.session
        return None

    def _resets_session(self, history: History) -> bool:
        """Whether the last message is nothing but a reset phrase."""
        if len(history.pieces) != history.last + 1:
            return False
        role, text = history.pieces[-1]
        return role == USER and len(text) < _LONGEST and "?" not in text and _plain(text) in self._resets

    async def _alike(self, state: SessionStore, request: _Request) -> str | None:
        """The one of the client's last sessions that is most like the request, when it is like enough."""
        recent = await state.recent(request.tenant)
        if not recent:
            return None
        pieces = request.history.pieces
        compared = await _work(request.large or len(pieces) > _MANY_PIECES, partial(ComparedRequest, pieces))
        short = request.history.messages < self._fewest
        best, most = None, 0.0
        for each in recent:
            known = read_sketch(each.sketch)
            if short and not compared.repeats(known):
                continue
            similarity = compared.similarity(known)
            if similarity > most:
                best, most = each.session, similarity
        return best if most >= self._threshold else None

    async def on_response(self, exchange: Exchange, answer: Answer) -> None:
        if exchange.session is not None:
            answer.headers[HEADER] = exchange.session

    def on_end(self, exchange: Exchange) -> None:
        self._open.pop(exchange.id, None)
        known = exchange.notes.get(self._note)
        if not isinstance(known, _Known):
            return
        summary = exchange.summary
        usage = summary.usage if exchange.cache != "hit" else None
        answer = answer_key(summary.id, known.tenant) if summary.id else None
        if answer is not None:
            self._answers[answer] = known.session
            if len(self._answers) > _MOST_ANSWERS:
                self._answers.popitem(last=False)
        known.state.settle(
            SessionOutcome(
                session=known.session,
                tenant=known.tenant,
                error=(exchange.status or 0) >= 400 or exchange.error is not None or summary.error is not None,
                model=_shortened(summary.model or exchange.model or "") or None,
                input_tokens=(usage.input or 0) if usage else 0,
                output_tokens=(usage.output or 0) if usage else 0,
                learn=(answer,) if answer else (),
                sketch=known.sketch,
            )
        )

    async def page(self, request: PageRequest) -> Mapping[str, object] | None:
        if request.changing:
            raise ProxyError(
                "Sessions can only be read: use GET", status=405, code="method_not_allowed", headers=(("Allow", "GET"),)
            )
        if request.name is not None:
            session = await self._alone.session(request.name)
            with contextlib.suppress(StoreFault):
                session = await self._state.session(request.name) or session
            return None if session is None else _shown(session)
        limit = request.query.get("limit", str(_USUAL))
        if not _NUMBER.fullmatch(limit) or not 1 <= int(limit) <= _MOST:
            raise BadRequest(f"limit must be a number from 1 to {_MOST}", param="limit")
        figures = await self.stats()
        sessions = await self._alone.sessions(int(limit))
        with contextlib.suppress(StoreFault):
            sessions = [*await self._state.sessions(int(limit)), *sessions][: int(limit)]
        return {
            "figures": figures,
            "store": self._store,
            "available": self._state.available,
            "sessions": [_shown(session) for session in sessions],
        }

    async def stats(self) -> Mapping[str, object]:
        """Sessions as the store has them now, and what this process did."""
        figures = await self._alone.counts()
        with contextlib.suppress(StoreFault):
            figures = await self._state.counts()
        minutes = max((time.monotonic() - self._started_s) / 60, 1 / 60)
        asked = self._created + self._hits
        return {
            "active": figures.active,
            "created": self._created,
            "creation_rate_per_minute": round(self._created / minutes, 3),
            "hits": self._hits,
            "misses": self._created,
            "hit_rate": round(self._hits / asked, 6) if asked else None,
            "fuzzy_matches": self._fuzzy,
            "resets": self._reset,
            "expired": figures.expired,
            "evicted": figures.evicted,
        }

    async def metrics(self) -> Sequence[Sample]:
        figures = await self.stats()
        return [
            Sample(name=f"llmproxy_sessions_{name}", help=text, counter=counts, value=value)
            for name, text, counts in _METRICS
            if isinstance(value := figures[name], (int, float))
        ]

    def describe(self) -> Mapping[str, object]:
        return {"store": self._store, "available": self._state.available}


async def _work(large: bool, work: Callable[[], T]) -> T:
    """What `work` gives back, in a thread where it takes long."""
    return await asyncio.to_thread(work) if large else work()


def _content(body: Body) -> Mapping[str, Any]:
    """The body's JSON object; empty where it cannot be decoded, which is for the provider to judge."""
    try:
        return body.content
    except BadRequest:
        return {}


def _fresh() -> str:
    return f"s_{random.getrandbits(80):020x}"


def _plain(text: str) -> str:
    """`text` without case, punctuation and white space at its ends."""
    return _MARKS.sub(" ", text.casefold()).strip()


def _shortened(text: str) -> str:
    """`text` as every store and page can hold it, whatever a header or a body says."""
    return text[:_LONGEST].encode("utf-8", "replace").decode()


def _shown(session: Session) -> dict[str, object]:
    return {
        "id": session.id,
        "client": session.client,
        "started": format_timestamp(session.started_s),
        "last_seen": format_timestamp(session.seen_s),
        "requests": session.requests,
        "errors": session.errors,
        "models": list(session.models),
        "tokens": {"input": session.input_tokens, "output": session.output_tokens},
    }
