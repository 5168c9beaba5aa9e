"""Answer repeated requests from a store: deterministic ones and embeddings, streams too.

Looking up and calling is `around`; what was called is stored when its exchange has ended well. Identical requests that
come together make one call. `caching/key.py` decides which requests are identical, `caching/single_flight.py`
shares a call.
Begin reading at `Cache.around`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BeforeValidator, Field

from llmproxy.access.identity import cache_scope
from llmproxy.answer import Answer
from llmproxy.body import Body
from llmproxy.caching.control import CacheControl, read_cache_control, take_settings
from llmproxy.caching.counters import CacheCounters
from llmproxy.caching.entry import CacheEntry, largest_packed, pack, unpack
from llmproxy.caching.key import cache_key, model_prefix
from llmproxy.caching.request_content import read_content
from llmproxy.caching.single_flight import SharedCall
from llmproxy.caching.stored_answers import PacedStream, answer_from_entry, entry_from_call, fits
from llmproxy.caching.write_behind import WriteBehind
from llmproxy.dialects.dialect import Dialect
from llmproxy.dialects.reshape import Reshape
from llmproxy.errors import ProxyError
from llmproxy.exchange import Exchange
from llmproxy.metrics.sample import Sample
from llmproxy.metrics.stats_merge import hit_rate, sum_stats
from llmproxy.middleware.base import Middleware, PageOperation, PageRequest, Proceed
from llmproxy.settings import Duration, HeaderName, Size, parse_size
from llmproxy.stores.base import StoreReference
from llmproxy.stores.blobs import BlobStore
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.open_stores import Stores

LEADS = 3  # how many failed calls of others one waits for, before it makes its own
WARM, WARM_BYTES = 128, 16 * 1024  # so many answers of at most so many bytes are kept unpacked
_LARGE_BYTES = 1024 * 1024
# A longer answer is read and packed in a thread: 8 MB of embeddings take 125 ms, gzipped 150 ms.
SMALL_BYTES = 32 * 1024


def _word(value: object) -> object:
    """Undo that YAML reads on and off as true and false."""
    return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


CacheMode = Annotated[Literal["on", "off", "read_only", "write_only"], BeforeValidator(_word)]


class _CacheRequest(msgspec.Struct, kw_only=True):
    """The state of one request that the cache handles."""

    control: CacheControl
    dialect: Dialect
    key: str = ""
    shared: SharedCall | None = None
    counted: bool = True
    stores: bool = False


class Cache(Middleware):
    """Sets `x-cache: hit`, `miss` or `bypass` on every answer that it handles."""

    page_path = "/cache"
    page_operations = (
        PageOperation(summary="Read what the cache holds"),
        PageOperation(
            summary="Forget all answers, or those of a model",
            method="DELETE",
            query={"model": {"type": "string", "minLength": 1}},
        ),
        PageOperation(summary="Forget an answer", method="DELETE", below=True),
    )

    class Config(StoreReference):
        """The answers that are cached, for how long, and where."""

        when: Literal["deterministic", "always"] = Field(
            default="deterministic",
            description="deterministic: requests with temperature 0 or a seed, and embeddings. always: all requests.",
        )
        mode: CacheMode = Field(
            default="on",
            description="on, off, read_only (stores nothing new) or write_only (answers nothing from the cache).",
        )
        routes: dict[str, CacheMode] = Field(
            default={},
            description="The mode of single routes, by the model's name as clients send it (* matches anything); "
            "the first match counts.",
            examples=[{"gpt-4o-audio*": "off"}],
        )
        ttl: Duration = Field(default=3600.0, gt=0, description="How long to keep an answer.")
        max_size: Size = Field(
            default=parse_size("256MB"),
            gt=0,
            description="Limit of a store in memory or on disk. Above it, the answers that were used longest ago go.",
        )
        max_entry_size: Size = Field(
            default=parse_size("8MB"), gt=0, description="Longer answers are passed on and not stored."
        )
        shared: bool = Field(
            default=False,
            description="Let clients share cached answers. Without it, each client key has its own "
            "answers, and so has each credential of their own that clients send to a provider.",
        )
        vary: tuple[HeaderName, ...] = Field(
            default=(),
            description="More request headers that separate answers: requests with different values of them never "
            "share an answer.",
            examples=[["X-Tenant"]],
        )
        volatile: tuple[str, ...] = Field(
            default=(),
            description="Fields of requests that do not change the answer, as dotted paths: requests that differ only "
            "there are the same request.",
            examples=[["user", "metadata.trace_id"]],
        )
        replay: Literal["at_once", "paced"] = Field(
            default="at_once", description="How a stored stream is sent: at once, or with the pauses of the first time."
        )

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._always = config.when == "always"
        self._mode = config.mode
        self._routes = tuple(config.routes.items())
        self._ttl_s = config.ttl
        self._max_bytes = config.max_entry_size
        self._shared = config.shared
        self._vary = tuple(sorted({name.lower() for name in config.vary}))
        self._volatile = tuple(tuple(path.split(".")) for path in config.volatile)
        self._paced = config.replay == "paced"
        self._store_name, self._store = config.store, ""
        self._max_size_bytes = config.max_size
        self._limit_bytes: int | None = None
        self._blobs: BlobStore
        self._warm: dict[str, tuple[bytes, CacheEntry]] = {}
        self._counters = CacheCounters()
        self._write_behind: WriteBehind
        self._shared_calls: dict[tuple[str, ...], tuple[SharedCall, asyncio.Task[Answer]]] = {}
        self._calls: set[asyncio.Task[Answer]] = set()
        self._left_out: dict[Reshape, tuple[tuple[str, ...], ...]] = {}
        self._note = f"llmproxy.cache.{id(self)}"

    def use_stores(self, stores: Stores) -> None:
        store = stores.open(self._store_name)
        self._store, self._limit_bytes = store.type, None if store.bounds_itself else self._max_size_bytes
        # What a store holds that bounds itself is read only when it can be an entry of ours.
        self._blobs = store.blobs(self._limit_bytes or largest_packed(self._max_bytes))
        self._write_behind = WriteBehind(self._blobs, self._counters)

    async def start(self) -> None:
        self._write_behind.start()

    async def close(self) -> None:
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        await self._write_behind.close()

    async def on_request(self, exchange: Exchange) -> Answer | None:
        body, endpoint = exchange.body, exchange.endpoint
        if endpoint is None or not isinstance(body, Body) or endpoint.path not in endpoint.dialect.paths:
            return None
        control = read_cache_control(take_settings(exchange), exchange.headers)
        exchange.notes[self._note] = _CacheRequest(control=control, dialect=endpoint.dialect)
        return None

    async def around(self, exchange: Exchange, proceed: Proceed) -> Answer:
        request, mode = exchange.notes.get(self._note), self._mode_of(exchange)
        if not isinstance(request, _CacheRequest) or mode == "off":
            return await proceed()
        control, exchange.cache = request.control, "bypass"
        body = exchange.held
        exchange.hold(len(body.decoded))  # what the parsed request holds beside the body
        if len(body.raw) > _LARGE_BYTES:
            cacheable = await asyncio.to_thread(self._identify, exchange, body, request)
        else:
            cacheable = self._identify(exchange, body, request)
        if not cacheable:
            _refuse_only(control)
            self._counters.bypasses += 1
            return await proceed()
        request.stores = mode != "read_only" and control.store
        if mode == "write_only" or not control.read:
            _refuse_only(control)
            self._counters.bypasses += 1
            return await self._call(exchange, proceed, request)
        found = await self._find(exchange, request)
        if found is not None:
            return found
        exchange.cache = "miss"
        _refuse_only(control)
        return await self._call_once(exchange, proceed, request)

    def _mode_of(self, exchange: Exchange) -> str:
        for pattern, mode in self._routes:
            if fnmatchcase(exchange.model or "", pattern):
                return mode
        return self._mode

    def _identify(self, exchange: Exchange, body: Body, request: _CacheRequest) -> bool:
        """Compute the key of a request and return whether it may be cached: standard JSON that expects the same answer
        each time."""
        reshape = request.dialect.reshape
        content = read_content(body, request.dialect)
        if content is None or not content.members or not reshape.is_repeatable(content.members):
            return False
        if not self._always and not reshape.is_deterministic(content.members):
            return False
        left_out = self._left_out.get(reshape)
        if left_out is None:
            sent = (tuple(path.split(".")) for path in reshape.stream_fields)
            left_out = self._left_out[reshape] = (*sent, *self._volatile)
        scope = cache_scope(exchange, self._vary, shared=self._shared, stored=content.names_stored)
        try:
            request.key = cache_key(exchange, content, left_out, scope)
        except RecursionError:  # nested as deeply as could just be read
            return False
        request.counted = reshape.counts_usage(content.members)
        return True

    async def _find(self, exchange: Exchange, request: _CacheRequest) -> Answer | None:
        """Return the stored answer in the form that this request needs."""
        try:
            raw = self._write_behind.pending(request.key) or await self._blobs.get(request.key)
        except StoreFault:
            return None
        if raw is None:
            return None
        warm = self._warm.get(request.key)
        entry = warm[1] if warm is not None and warm[0] is raw else await self._unpacked(request.key, raw)
        if entry is None:
            return None
        age_s = max(time.time() - entry.created_s, 0.0)
        oldest_s = request.control.max_age_s
        if oldest_s is not None and age_s > oldest_s:
            return None
        assert exchange.endpoint is not None, "only calls of a dialect are cached"
        several = request.dialect.other_framing is not None
        framing = exchange.endpoint.framing_for(exchange.query) if several else None
        arguments = entry, request.dialect, exchange.stream, request.counted, framing
        if len(entry.body) <= SMALL_BYTES or fits(entry, exchange.stream, request.counted, framing):
            answer = answer_from_entry(*arguments)
        else:
            answer = await asyncio.to_thread(answer_from_entry, *arguments)
        if answer is None:
            return None
        exchange.hold(len(answer.body))
        answer.headers["Age"] = str(int(age_s))
        if self._paced and entry.stream and exchange.stream:
            answer.stream, answer.body, answer.length = PacedStream(answer.body, entry.paces), b"", None
        exchange.cache = "hit"
        self._counters.hit(entry)
        return answer

    async def _unpacked(self, key: str, raw: bytes) -> CacheEntry | None:
        """Unpack a stored answer. Small ones are kept unpacked: 3 of 100 µs."""
        entry = await asyncio.to_thread(unpack, raw) if len(raw) > _LARGE_BYTES else unpack(raw)
        if entry is not None and len(raw) <= WARM_BYTES:
            if len(self._warm) == WARM:
                self._warm.clear()
            self._warm[key] = raw, entry
        return entry

    async def _call_once(self, exchange: Exchange, proceed: Proceed, request: _CacheRequest) -> Answer:
        """Join the call that is under way for the same, or make it. One that fails is followed by the next."""
        place = (
            request.key,
            str(exchange.stream),
            str(request.counted),
            "" if exchange.endpoint is None else exchange.endpoint.framing_for(exchange.query).name,
            *exchange.headers.getall("Accept-Encoding", ()),
        )
        for _ in range(LEADS):
            known = self._shared_calls.get(place)
            shared, call = known or self._begin(exchange, proceed, place)
            self._counters.misses += known is None
            answer = await self._join(shared, call, exchange, leads=known is None)
            if answer is not None:
                request.shared = shared
                if known is not None:
                    exchange.cache = "hit"
                    answer.headers["Age"] = "0"
                    self._counters.share()
                return answer
        self._counters.misses += 1
        return await self._call(exchange, proceed, request)

    async def _call(self, exchange: Exchange, proceed: Proceed, request: _CacheRequest) -> Answer:
        """Make a call that nobody joins."""
        request.shared, call = self._begin(exchange, proceed, None)
        answer = await self._join(request.shared, call, exchange, leads=True)
        assert answer is not None, "only those who join later get none"
        return answer

    def _begin(
        self, exchange: Exchange, proceed: Proceed, place: tuple[str, ...] | None
    ) -> tuple[SharedCall, asyncio.Task[Answer]]:
        """Begin a call for a view of the exchange, which others may join at `place`."""
        view = exchange.view()
        view.held_bytes = 0

        async def make() -> Answer:
            return await proceed(view)

        def forget() -> None:
            if place is not None and (known := self._shared_calls.get(place)) and known[0] is shared:
                del self._shared_calls[place]

        shared = SharedCall(view, self._max_bytes, forget)
        call = asyncio.get_running_loop().create_task(make())
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        if place is not None:
            self._shared_calls[place] = shared, call
        return shared, call

    async def _join(
        self, shared: SharedCall, call: asyncio.Task[Answer], exchange: Exchange, *, leads: bool
    ) -> Answer | None:
        try:
            return await shared.join(call, exchange)
        finally:
            exchange.call = shared.exchange.call

    async def on_response(self, exchange: Exchange, answer: Answer) -> None:
        if exchange.cache is None:
            return
        answer.headers["x-cache"] = exchange.cache
        request = exchange.notes.get(self._note)
        if isinstance(request, _CacheRequest) and request.key:
            answer.headers["x-llmproxy-cache-key"] = request.key

    def on_end(self, exchange: Exchange) -> None:
        """Store an answer that reached one client at least as a whole."""
        request = exchange.notes.get(self._note)
        if not isinstance(request, _CacheRequest) or request.shared is None:
            return
        shared, request.shared = request.shared, None  # each refers to the other, by way of the exchange
        good = exchange.outcome == "complete" and exchange.summary.error is None
        if not good or not request.stores or not shared.whole or shared.stored:
            return
        shared.stored = True
        make = partial(self._pack, shared, exchange, request)
        ttl_s = request.control.ttl_s or self._ttl_s
        if shared.size_bytes > SMALL_BYTES:
            self._write_behind.save_later(request.key, make, shared.size_bytes, ttl_s)
        elif (packed := make()) is not None:
            self._write_behind.save(request.key, packed, ttl_s)

    def _pack(self, shared: SharedCall, exchange: Exchange, request: _CacheRequest) -> bytes | None:
        """Return the packed entry for a whole answer; None when it is not worth storing."""
        entry = entry_from_call(
            shared, exchange, request.dialect.reshape, counted=request.counted, limit_bytes=self._max_bytes
        )
        return None if entry is None else pack(entry)

    async def page(self, request: PageRequest) -> Mapping[str, object] | None:
        request.expect(*(("model",) if request.changing and request.name is None else ()))
        if request.changing:
            return await self._clear(request)
        return await self._overview() if request.name is None else None

    async def _clear(self, request: PageRequest) -> Mapping[str, object] | None:
        """Delete one key, the answers of one model, or everything."""
        try:
            await self._write_behind.settle()
            if request.name is not None:
                return {"deleted": 1} if await self._blobs.delete(request.name) else None
            model = request.query.get("model")
            return {"deleted": await self._blobs.clear("" if model is None else model_prefix(model))}
        except StoreFault as fault:
            raise ProxyError(f"The {self._store} store: {fault}", status=503, code="store_unavailable") from fault

    async def _overview(self) -> dict[str, object]:
        entries = size_bytes = None
        with contextlib.suppress(StoreFault):
            size = await self._blobs.size()
            entries, size_bytes = size.entries, size.bytes
        return {
            "store": self._store,
            "available": self._blobs.available,
            "mode": self._mode,
            "entries": entries,
            "bytes": size_bytes,
            "max_bytes": self._limit_bytes,
            **self._counters.stats(),
        }

    async def stats(self) -> Mapping[str, object]:
        return await self._overview()

    @property
    def _workers_share(self) -> bool:
        """Return whether all workers have the same answers."""
        return self._store != "memory"

    def merge_stats(self, parts: Sequence[Mapping[str, Any]]) -> Mapping[str, object]:
        """Add up what workers counted. What they hold together in memory is a sum, a store that they share is one."""
        sums = sum_stats(parts)
        held = {name: parts[0][name] for name in ("entries", "bytes")} if self._workers_share else {}
        limit = {"max_bytes": parts[0]["max_bytes"], "hit_rate": hit_rate(sums["hits"], sums["misses"])}
        return {**sums, **held, **limit}

    pages_of_all = True

    def merge_pages(self, parts: Sequence[Mapping[str, Any]]) -> Mapping[str, object]:
        return sum_stats(parts) if "deleted" in parts[0] else self.merge_stats(parts)

    async def metrics(self) -> Sequence[Sample]:
        return [*self._counters.metrics(), *_size_metrics(await self._overview(), shared=self._workers_share)]

    def describe(self) -> Mapping[str, object]:
        state = {"store": self._store, "available": self._blobs.available, "lost": self._write_behind.lost}
        return {**state, "fault": self._blobs.fault_reason}


def _refuse_only(control: CacheControl) -> None:
    if control.only:
        raise ProxyError(
            "The answer is not in the cache, and the request has only-if-cached", status=504, code="not_cached"
        )


def _size_metrics(overview: Mapping[str, object], *, shared: bool) -> list[Sample]:
    return [
        Sample(name=f"llmproxy_cache_{name}", help=text, value=value, across="max" if shared else "sum")
        for name, text in (("entries", "Answers in the cache."), ("bytes", "What the cache holds, in bytes."))
        if isinstance(value := overview[name], int)
    ]
