"""Recognises conversations, with or without help from the client, and counts what each of them used.

A request belongs to the session that it names; else to the one that knows the longest beginning of its messages; else
to one of the same client that is similar enough; else to a new one. The keys of sessions are in a store, which replicas
may share; while the store does not answer, this process remembers alone. Begin reading at `Sessions.on_request`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import structs
from pydantic import Field

from llmproxy.access.identity import identity_of
from llmproxy.answer import Answer
from llmproxy.body import Body
from llmproxy.client_request import SESSION_HEADER, SESSION_HEADERS
from llmproxy.dialects.dialect import Readers
from llmproxy.dialects.history import MADE, NO_HISTORY, USER, History
from llmproxy.errors import BadRequest
from llmproxy.exchange import Exchange
from llmproxy.metrics.sample import Sample
from llmproxy.metrics.stats_merge import hit_rate
from llmproxy.middleware.base import Middleware, PageOperation, PageRequest
from llmproxy.recognition.prefix_hash import PrefixHashes
from llmproxy.recognition.session_names import NAMING_MEMBERS, SessionName, answer_key, session_name_of
from llmproxy.recognition.session_stats import merge_session_stats, session_row, session_samples
from llmproxy.recognition.similarity import ComparedRequest, read_sketch, sketch
from llmproxy.recognition.turn_history import NOTHING_READ, ReadHistory, history_of_turns
from llmproxy.recognition.twin_runs import TwinRuns
from llmproxy.redaction.secrets import mask_text, secrets_of
from llmproxy.settings import Duration, Whole
from llmproxy.stores.base import StoreReference
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.memory import MemorySessions
from llmproxy.stores.open_stores import Stores
from llmproxy.stores.sessions import SessionOutcome, SessionStore, Visit

_LARGE_BYTES = 1024 * 1024  # bodies that take longer than a millisecond to read are read in a thread
_USUAL, _MOST = 100, 10_000
_MOST_ANSWERS = 1000
_LONGEST = 200
_MARKS = re.compile(r"[^\w/]+")
_NUMBER = re.compile(r"[0-9]{1,9}")
_MANY_PIECES = 16  # comparing so many by their words takes longer than a millisecond


class _Known(msgspec.Struct, kw_only=True):
    """What is remembered of an exchange until its end: its session, the store that has it, the sketch of its new
    messages, and the key of a first request."""

    session: str
    tenant: str
    store: SessionStore
    sketch: bytes
    key: str | None


class _Request(msgspec.Struct, kw_only=True):
    """One request, and how its session is looked up: by a name, or by the hashes of its messages. `first_key` is the
    key of one that nothing was answered to yet; None for others and for named ones."""

    tenant: str
    client: str
    now_s: float
    name: SessionName | None
    history: History
    hashes: PrefixHashes | None
    resets: bool
    first_key: str | None

    def visit(self, session: str | None, further: Sequence[str] = ()) -> Visit:
        """Return the visit that looks up the session, by the keys `further` if there are any, and begins `session`
        where none is known."""
        if self.hashes is None:
            assert self.name is not None
            keys = learn = [self.name.key]
        elif self.resets:
            # The first message is the same in every conversation that begins with a reset phrase.
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
        """Return the keys of shorter beginnings than those of the first visit."""
        return [] if self.hashes is None or self.resets else self.hashes.further()


class Sessions(Middleware):
    """Gives each exchange its session: in the header `x-llmproxy-session`, in traces, lines and statistics."""

    page_path = "/sessions"
    page_operations = (
        PageOperation(
            summary="List the sessions", query={"limit": {"type": "integer", "minimum": 1, "maximum": _MOST}}
        ),
        PageOperation(summary="Read a session", below=True),
    )

    class Config(StoreReference):
        """What a session is, how many are kept, and where."""

        headers: tuple[str, ...] = Field(
            default=SESSION_HEADERS,
            description="The request headers that name a session; the first one that is present counts.",
        )
        max_sessions: Whole = Field(
            default=10_000, ge=1, description="How many sessions to keep; those that were used longest ago are removed."
        )
        session_ttl_seconds: Duration = Field(
            default=3600.0, gt=0, description="A session ends after this time without a request."
        )
        similarity_threshold: float = Field(
            default=0.85,
            ge=0,
            le=1,
            description="How similar a request must be to a session of its client when no session has its first "
            "messages: the share of word triples in common, 0 to 1. 1 means all of them.",
        )
        max_messages_for_new_session: Whole = Field(
            default=2,
            ge=0,
            description="A request with fewer messages that repeats none of a session begins a new one, even if "
            "it is similar.",
        )
        reset_phrases: tuple[str, ...] = Field(
            default=("/new", "/reset", "/clear", "new conversation", "new chat", "start over", "reset conversation"),
            description="Messages that begin a new session; case and punctuation do not matter.",
        )

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._headers = tuple(name.lower() for name in config.headers)
        self._threshold = config.similarity_threshold
        self._fewest = config.max_messages_for_new_session
        self._resets = frozenset(filter(None, map(_plain, config.reset_phrases)))
        self._bounds = config.max_sessions, config.session_ttl_seconds
        self._sessions: SessionStore
        self._own: SessionStore = MemorySessions(*self._bounds)
        self._store_name, self._store = config.store, ""
        self._started_s = time.monotonic()
        self._note = f"llmproxy.sessions.{id(self)}"
        self._created = self._hits = self._fuzzy = self._reset = 0
        # Answers of this process whose sessions the store may not know yet.
        self._answers: OrderedDict[str, str] = OrderedDict()
        self._open: dict[str, Exchange] = {}
        self._twins = TwinRuns()

    def use_stores(self, stores: Stores) -> None:
        store = stores.open(self._store_name)
        self._store, self._sessions = store.type, store.sessions(*self._bounds)

    async def on_request(self, exchange: Exchange) -> Answer | None:
        body = exchange.body if isinstance(exchange.body, Body) and exchange.endpoint is not None else None
        large = body is not None and (len(body.raw) > _LARGE_BYTES or bool(body.encoding))
        request = await asyncio.to_thread(self._read, exchange, body) if large else self._read(exchange, body)
        if request is None:
            return None
        key = request.first_key
        alone = key is None or await self._twins.enter(key)
        try:
            await self._begin(exchange, request, alone=alone, large=large)
        finally:
            if key is not None and alone:
                self._twins.leave(key)
        return None

    async def _begin(self, exchange: Exchange, request: _Request, *, alone: bool, large: bool) -> None:
        """Give an exchange its session; one of its own where it is not `alone`, as its like is not over."""
        try:
            store, (session, known) = self._sessions, await self._find(self._sessions, request, alone=alone)
        except StoreFault:
            store, (session, known) = self._own, await self._find(self._own, request, alone=alone)
        exchange.session = session
        new = request.history.pieces[known:]
        added = await asyncio.to_thread(sketch, new) if large or len(new) > _MANY_PIECES else sketch(new)
        exchange.notes[self._note] = _Known(
            session=session, tenant=request.tenant, store=store, sketch=added, key=request.first_key
        )
        self._open[exchange.id] = exchange
        if request.first_key is not None:
            self._twins.begin(request.first_key, session)

    def _read(self, exchange: Exchange, body: Body | None) -> _Request | None:
        """Read how the session of a request is looked up; None when it is no conversation."""
        tenant = identity_of(exchange)
        name = session_name_of(exchange.headers, self._headers, {}, tenant)
        if name is None and body is not None:
            name = session_name_of(exchange.headers, (), _naming_members(body), tenant)
        history, hashes, resets, first_key = NO_HISTORY, None, False, None
        if name is None:
            if body is None or exchange.endpoint is None:
                return None
            history, sums, keys, _ = _history(body, exchange.endpoint.dialect.readers)
            if not history.pieces:
                return None
            hashes = PrefixHashes(tenant, history.pieces, sums, keys)
            resets = self._resets_session(history)
            if not resets and MADE.isdisjoint([role for role, _ in history.pieces]):
                first_key = hashes.whole
        return _Request(
            tenant=tenant,
            client=_shortened(f"{exchange.client.label} {exchange.client.agent}".strip()),
            now_s=exchange.began_s,
            name=name,
            history=history,
            hashes=hashes,
            resets=resets,
            first_key=first_key,
        )

    async def _find(self, store: SessionStore, request: _Request, *, alone: bool) -> tuple[str, int]:
        """Find or begin the session of a request. Return it, and how many pieces of the request it knows already.
        Raises StoreFault."""
        if not alone:
            return await self._move(store, request, _new_id()), 0
        session, known = await self._look_up(store, request)
        if request.hashes is not None and 0 < known < len(request.history.pieces):
            own = self._twins.claim(request.hashes.key_at(known))
            if own is not None and own != session:
                return await self._move(store, request, own), known
        return session, known

    async def _move(self, store: SessionStore, request: _Request, session: str) -> str:
        """Continue or begin `session` with a request that others could be continued with too."""
        assert request.hashes is not None
        visit = structs.replace(request.visit(session), keys=(), learn=request.hashes.learned)
        result = await store.touch(visit)
        assert result is not None
        self._created += result.created
        return result.session

    async def _look_up(self, store: SessionStore, request: _Request) -> tuple[str, int]:
        """Look a request up by its name, by the beginnings of its messages, then by their words."""
        before, name = 0, None
        if request.name is not None:
            name = request.name.id or self._session_of_answer(request.name.key, request.tenant) or _new_id()
        result = await store.touch(request.visit(name))
        if result is None and request.hashes is not None and (further := request.further()):
            before = len(request.hashes.near)
            result = await store.touch(request.visit(None, further))
        if result is None:
            before = 0
            similar = None if request.resets else await self._most_similar(store, request)
            result = await store.touch(request.visit(similar or _new_id()))
            self._fuzzy += similar is not None
            self._reset += request.resets
        assert result is not None
        self._created += result.created
        self._hits += not result.created
        if result.place is None or request.hashes is None:
            return result.session, 0
        return result.session, request.hashes.length_at(before + result.place)

    def _session_of_answer(self, key: str, tenant: str) -> str | None:
        """Return the session of an answer that this process gave lately, or is just giving: a client may go on at the
        last event of a stream, before its end."""
        if key in self._answers:
            return self._answers[key]
        for exchange in self._open.values():
            known, name = exchange.notes.get(self._note), exchange.summary.id
            if isinstance(known, _Known) and known.tenant == tenant and name and answer_key(name, tenant) == key:
                return known.session
        return None

    def _resets_session(self, history: History) -> bool:
        """Return whether the last message is nothing but a reset phrase."""
        if len(history.pieces) != history.last + 1:
            return False
        role, text = history.pieces[-1]
        return role == USER and len(text) < _LONGEST and "?" not in text and _plain(text) in self._resets

    async def _most_similar(self, store: SessionStore, request: _Request) -> str | None:
        """Return the one of the client's last sessions that is most similar to the request, if it is similar enough."""
        recent = await store.recent(request.tenant)
        if not recent:
            return None
        pieces = request.history.pieces
        many = len(pieces) > _MANY_PIECES
        compared = await asyncio.to_thread(ComparedRequest, pieces) if many else ComparedRequest(pieces)
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
            answer.headers[SESSION_HEADER] = exchange.session

    def on_end(self, exchange: Exchange) -> None:
        self._open.pop(exchange.id, None)
        known = exchange.notes.get(self._note)
        if not isinstance(known, _Known):
            return
        if known.key is not None:
            self._twins.end(known.key, known.session)
        summary = exchange.summary
        usage = summary.usage if exchange.cache != "hit" else None
        answer = answer_key(summary.id, known.tenant) if summary.id else None
        if answer is not None:
            self._answers[answer] = known.session
            if len(self._answers) > _MOST_ANSWERS:
                self._answers.popitem(last=False)
        known.store.settle(
            SessionOutcome(
                session=known.session,
                tenant=known.tenant,
                error=(exchange.status or 0) >= 400 or exchange.error is not None or summary.error is not None,
                model=_shortened(mask_text(summary.model or exchange.model or "", secrets_of(exchange))) or None,
                input_tokens=(usage.input or 0) if usage else 0,
                output_tokens=(usage.output or 0) if usage else 0,
                cached_tokens=(usage.cache_read or 0) if usage else 0,
                cost_usd=exchange.cost_usd or 0.0,
                cost_unknown=exchange.cost_unknown,
                learn=(answer,) if answer else (),
                sketch=known.sketch,
            )
        )

    async def page(self, request: PageRequest) -> Mapping[str, object] | None:
        request.expect(*(("limit",) if request.name is None else ()))
        if request.name is not None:
            session = await self._own.session(request.name)
            with contextlib.suppress(StoreFault):
                session = await self._sessions.session(request.name) or session
            return None if session is None else session_row(session)
        limit = request.query.get("limit", str(_USUAL))
        if not _NUMBER.fullmatch(limit) or not 1 <= int(limit) <= _MOST:
            raise BadRequest(f"limit must be a number from 1 to {_MOST}", param="limit")
        stats = await self.stats()
        sessions = await self._own.sessions(int(limit))
        with contextlib.suppress(StoreFault):
            sessions = [*await self._sessions.sessions(int(limit)), *sessions][: int(limit)]
        return {
            "figures": stats,
            "store": self._store,
            "available": self._sessions.available,
            "sessions": [session_row(session) for session in sessions],
        }

    async def stats(self) -> Mapping[str, object]:
        """Return how many sessions the store has now, and what this process did."""
        counts = await self._own.counts()
        with contextlib.suppress(StoreFault):
            counts = await self._sessions.counts()
        minutes = max((time.monotonic() - self._started_s) / 60, 1 / 60)
        return {
            "active": counts.active,
            "created": self._created,
            "creation_rate_per_minute": round(self._created / minutes, 3),
            "hits": self._hits,
            "misses": self._created,
            "hit_rate": hit_rate(self._hits, self._created),
            "fuzzy_matches": self._fuzzy,
            "resets": self._reset,
            "expired": counts.expired,
            "evicted": counts.evicted,
        }

    def merge_stats(self, parts: Sequence[Mapping[str, Any]]) -> Mapping[str, object]:
        return merge_session_stats(parts)

    pages_of_all = True

    def merge_pages(self, parts: Sequence[Mapping[str, Any]]) -> Mapping[str, object]:
        """Add up the figures; what is listed, and one session, is the same for all that share a store."""
        if "figures" not in parts[0]:
            return parts[0]
        return {**parts[0], "figures": self.merge_stats([each["figures"] for each in parts])}

    async def metrics(self) -> Sequence[Sample]:
        return session_samples(await self.stats())

    def describe(self) -> Mapping[str, object]:
        return {"store": self._store, "available": self._sessions.available, "fault": self._sessions.fault_reason}


def _naming_members(body: Body) -> Mapping[str, Any]:
    """Return the members that may name a session; none where the body cannot be decoded, which is for the provider to
    judge."""
    try:
        return {name: body.value(name) for name in NAMING_MEMBERS} if body.read is not None else body.content
    except BadRequest:
        return {}


def _history(body: Body, readers: Readers) -> ReadHistory:
    try:
        return history_of_turns(body, readers)
    except BadRequest:
        return NOTHING_READ


def _new_id() -> str:
    return f"s_{random.getrandbits(80):020x}"


def _plain(text: str) -> str:
    """Return `text` without case, punctuation and white space at its ends."""
    return _MARKS.sub(" ", text.casefold()).strip()


def _shortened(text: str) -> str:
    """Return `text` as every store and page can hold it, whatever a header or a body contains."""
    text = text[:_LONGEST]
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
