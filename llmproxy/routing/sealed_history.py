"""Keep a conversation at the target that sealed its thinking, and leave out what another one would refuse.

Vendors sign or encrypt thinking for one model of one account. Which target sealed what is learned from answers and kept
by identity, under digests of the seals. A conversation whose seals are unknown goes the ordinary way, as it is, and
once more without them where that is refused. Begin reading at `SealedHistories.find`, then `SealedHistory`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import msgspec

from llmproxy.access.identity import identity_of
from llmproxy.answer import Answer
from llmproxy.body import Body
from llmproxy.call import Call
from llmproxy.dialects import catalog
from llmproxy.dialects.dialect import Dialect
from llmproxy.dialects.sealed_thinking import SEAL_CHARACTERS, Foreign, SealedThinking, beginning, is_seal, standard
from llmproxy.errors import BadRequest
from llmproxy.exchange import Exchange
from llmproxy.routing.affinity import affinity_key
from llmproxy.routing.answer_scan import Readable, ScannedStream
from llmproxy.stores.blobs import BlobStore
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.lru import ByteBoundedLru
from llmproxy.target import Target
from llmproxy.wire.json import read_as, write_value

MOST_SEALS = 1000
"""How many seals of one conversation are looked up, the last ones; older ones count as unknown."""

_KEPT_S = 7 * 86400.0  # as long as kept reasoning
_NOTE = "llmproxy.sealed"
_WINDOW_BYTES = 16 * 1024
_LARGE_BYTES = 64 * 1024
_RECENT_BYTES = 2 * 1024 * 1024  # about 5,000 seals
_TAIL_BYTES = 64  # more than the longest name of a field of seals, with what stands around it
_MADE = re.compile(rb'"(?:id|call_id|toolUseId)"\s*:\s*"([^"\\]{1,200})"')


class SealMaker(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The target that sealed something. `moved` says that the history before held what others had sealed."""

    provider: str
    model: str
    moved: bool

    @property
    def owner(self) -> str:
        """Return the name for all that accept its seals."""
        return catalog.seal_owner(self.provider, self.model)


_DECODER = msgspec.json.Decoder(SealMaker)


class SealedHistories:
    """The makers of sealed thinking, in `store`. While that does not answer, what this process saw of late is known:
    who sealed something never changes."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._recent = ByteBoundedLru()

    def may_know(self, exchange: Exchange, translates: Callable[[], bool]) -> bool:
        """Return whether there may be something to find out about a request. If it `translates`, its history may also
        be known by its calls, whose thinking translation keeps."""
        sealed, body = _sealed(exchange), exchange.body
        if sealed is None or not isinstance(body, Body):
            return False
        try:
            raw = body.decoded
        except BadRequest:
            return False
        return raw.find(sealed.mark) >= 0 or (raw.find(sealed.result_id) >= 0 and translates())

    async def find(self, exchange: Exchange) -> None:
        """Find out who sealed the last thinking in the history of a request that it `may_know`, for `history_of`."""
        sealed, raw = _sealed(exchange), exchange.held.decoded
        assert sealed is not None, "otherwise nothing is known"
        seal, call_id = _last_names(raw, sealed, may_have=sealed.mark in raw)
        identity = identity_of(exchange)
        is_sealed = seal is not None and is_seal(seal)
        names = [name for name in (call_id, _seal_name(seal) if seal and is_sealed else None) if name]
        makers = await self._makers(identity, names)
        maker = next((makers[name] for name in names if name in makers), None)
        if maker is not None or seal is not None:
            unknown = maker is None and is_sealed
            exchange.notes[_NOTE] = SealedHistory(self, identity, sealed, maker, unknown=unknown)

    def may_learn(self, exchange: Exchange, answer: Answer) -> bool:
        """Return whether something may be sealed in an answer, or may be known by its calls."""
        sealed = _sealed(exchange)
        if sealed is None or not exchange.calls or answer.status >= 300:
            return False
        return _moved(exchange, exchange.calls[-1]) or not _seals_nothing(answer, sealed)

    async def learn(self, exchange: Exchange, answer: Answer) -> None:
        """Keep who sealed what is in an answer of which it `may_learn`, before the client gets it."""
        sealed, call = _sealed(exchange), exchange.calls[-1]
        moved = _moved(exchange, call)
        assert sealed is not None, "otherwise nothing is learned"
        unwrap = None if answer.framing is None or sealed.unwrap is None else sealed.unwrap()
        readable = Readable(answer, unwrap)
        scan = _Scan(sealed, calls=moved)
        maker = SealMaker(provider=call.target.provider.name, model=call.model or "", moved=moved)

        async def bind(names: Sequence[str]) -> None:
            await self.bind(identity_of(exchange), names, maker)

        if names := scan.feed(readable.feed(answer.body)):
            await bind(names)
        if answer.stream is not None and not readable.over:
            answer.stream = ScannedStream(answer.stream, readable, scan.feed, bind)

    async def bind_calls(self, exchange: Exchange, ids: Sequence[str]) -> None:
        """Keep who made calls whose thinking the client does not see."""
        call = exchange.call
        if call is not None and exchange.route is not None and not exchange.route.plain:
            moved = _moved(exchange, call)
            maker = SealMaker(provider=call.target.provider.name, model=call.model or "", moved=moved)
            await self.bind(identity_of(exchange), [f"call:{each}" for each in ids], maker)

    async def bind(self, identity: str, names: Sequence[str], maker: SealMaker) -> None:
        """Keep who made what has these names."""
        value = write_value(list(msgspec.structs.astuple(maker)))
        keys = [affinity_key(identity, name) for name in names]
        for key in keys:
            self._recent.set(key, value, _KEPT_S, _RECENT_BYTES)
        try:
            await asyncio.gather(*(self._store.set(key, value, _KEPT_S) for key in keys))
        except StoreFault:
            return

    async def makers(self, identity: str, seals: Sequence[bytes]) -> Mapping[bytes, SealMaker]:
        """Return who made each of these seals, by their beginnings; nothing of those that are unknown."""
        found = await self._makers(identity, [_seal_name(seal) for seal in seals])
        return {seal: found[name] for seal in seals if (name := _seal_name(seal)) in found}

    async def _makers(self, identity: str, names: Sequence[str]) -> dict[str, SealMaker]:
        keys = {name: affinity_key(identity, name) for name in names}
        values = {name: self._recent.get(key) for name, key in keys.items()}
        missing = [name for name in names if values[name] is None]
        if missing:
            with contextlib.suppress(StoreFault):
                found = await asyncio.gather(*(self._store.get(keys[name]) for name in missing))
                values.update(zip(missing, found, strict=True))
        read = {name: read_as(_DECODER, value) for name, value in values.items() if value}
        return {name: maker for name, maker in read.items() if maker is not None}


@dataclass(slots=True)
class SealedHistory:
    """The sealed thinking in one request. `last` made the last of it, None where translation wrote that or, if that is
    `unknown`, nobody here knows. `is_doubted` says that a target has refused the request as it was."""

    histories: SealedHistories
    identity: str
    sealed: SealedThinking
    last: SealMaker | None
    unknown: bool = False
    is_doubted: bool = False
    _makers: Mapping[bytes, SealMaker] | None = None

    def moved(self, target: Target, model: str | None) -> bool:
        """Return whether there may be something that `target` did not seal."""
        if self.is_doubted or self.last is None:
            return self.is_doubted or not self.unknown
        return self.last.moved or self.last.owner != _owner(target, model)

    def doubt(self, call: Call) -> bool:
        """Return whether a request that was refused may be taken without its seals: nobody knows whether the target
        made them, or another service did. From now on they are left out."""
        if self.is_doubted or call.dropped or (self.last is not None and _made(self.last, call)):
            return False
        self.is_doubted = True
        return True

    def first(self, targets: Sequence[Target], model: str | None) -> list[Target]:
        """Return those of `targets` that accept the last seal, the one that made it first. One that is only called
        when all others are out is none of them."""
        last = self.last
        if last is None:
            return []
        able = [each for each in targets if each.weight and _owner(each, each.model or model) == last.owner]
        maker = last.provider, last.model
        return sorted(able, key=lambda each: (each.provider.name, each.model or model or "") != maker)

    async def body_for(self, exchange: Exchange, call: Call, dialect: Dialect) -> Body | None:
        """Return the body for a call in `dialect`, without what its target refuses, which is listed in `call`; None
        where it takes all. Raises Untranslatable where nothing of use is left."""
        client = None if exchange.endpoint is None else exchange.endpoint.dialect
        if client is None or not self.moved(call.target, call.model) or not _shares_seals(client, dialect):
            return None
        raw = exchange.held.decoded
        if self._makers is None:
            self._makers = await self.histories.makers(self.identity, _seals(raw, self.sealed.pattern))
        makers, owner = self._makers, _owner(call.target, call.model)

        def foreign(seal: object) -> bool:
            maker = makers.get(beginning(seal))
            if maker is None or maker.owner != owner:
                return True
            return self.is_doubted and not _made(maker, call)

        work = partial(_without, exchange.held, self.sealed, foreign, call.model or "")
        body, dropped = work() if len(raw) <= _LARGE_BYTES else await asyncio.to_thread(work)
        call.dropped += dropped
        return body if dropped else None


def history_of(exchange: Exchange) -> SealedHistory | None:
    """Return what is known of the sealed thinking in a request; None for the usual case, in which nothing has to be."""
    note = exchange.notes.get(_NOTE) if exchange.notes else None
    return note if isinstance(note, SealedHistory) else None


def share_history(exchange: Exchange, copy: Exchange) -> None:
    """Let a copy of a request, which goes to another target, know the same of its sealed thinking."""
    if (history := history_of(exchange)) is not None:
        copy.notes[_NOTE] = replace(history)


class _Scan:
    """Finds seals in an answer that comes in pieces; with `calls` also the ids of what it calls."""

    __slots__ = ("_calls", "_sealed", "_tail")

    def __init__(self, sealed: SealedThinking, *, calls: bool) -> None:
        self._sealed = sealed
        self._calls = calls
        self._tail = b""

    def feed(self, data: bytes) -> list[str]:
        """Return the names of what is whole by now."""
        data, end = self._tail + data, 0
        names: list[str] = []
        if self._sealed.in_answer(data):
            for match in self._sealed.pattern.finditer(data):
                seal = _seal_in(match)
                if match.end() == len(data) and len(seal) < SEAL_CHARACTERS:
                    self._tail = data[match.start() :]
                    return names
                if is_seal(seal := standard(seal)):
                    names.append(_seal_name(seal))
                end = match.end()
        if self._calls:
            names += [f"call:{match[1].decode('utf-8', 'replace')}" for match in _MADE.finditer(data)]
        self._tail = data[max(end, len(data) - _TAIL_BYTES) :]
        return names


def _sealed(exchange: Exchange) -> SealedThinking | None:
    endpoint = exchange.endpoint
    return endpoint.dialect.sealed if endpoint is not None and endpoint.model else None


def _moved(exchange: Exchange, call: Call) -> bool:
    """Return whether the history of a request may hold what the target of a call did not seal."""
    history = history_of(exchange)
    return history is not None and history.moved(call.target, call.model)


def _made(maker: SealMaker, call: Call) -> bool:
    """Return whether `maker` is certainly who is called now. Several keys of one provider may be several accounts."""
    provider = call.target.provider
    return not provider.rotates and (maker.provider, maker.model) == (provider.name, call.model)


def _seals_nothing(answer: Answer, sealed: SealedThinking) -> bool:
    """Return whether an answer is whole, readable and without a seal, as most are."""
    whole = answer.stream is None and answer.framing is None and "Content-Encoding" not in answer.headers
    return whole and not sealed.in_answer(answer.body)


def _owner(target: Target, model: str | None) -> str:
    return catalog.seal_owner(target.provider.name, model or "")


def _shares_seals(client: Dialect, provider: Dialect) -> bool:
    """Return whether thinking goes from one dialect to the other as it is: otherwise translation leaves it out."""
    if client.codec is None or provider.codec is None:
        return client is provider
    return client.codec.seal == provider.codec.seal


def _seal_name(seal: bytes) -> str:
    return f"seal:{seal.decode('ascii')}"


def _seal_in(match: re.Match[bytes]) -> bytes:
    return next(group for group in match.groups() if group is not None)


def _last_names(raw: bytes, sealed: SealedThinking, *, may_have: bool) -> tuple[bytes | None, str | None]:
    """Return the last seal in a body, where it `may_have` one, and the name of the call that was answered last, if that
    stands behind the seal. The search goes from the end: bodies are long."""
    result_id = _result_pattern(sealed.result_id)
    window = _WINDOW_BYTES
    while True:
        start = max(len(raw) - window, 0)
        seal = _last(sealed.pattern, raw, start) if may_have else None
        answered = _last(result_id, raw, start)
        if seal is not None or start == 0 or (answered is not None and not may_have):
            break
        window *= 4
    last_seal = None if seal is None else standard(_seal_in(seal))
    if answered is None or (seal is not None and answered.start() < seal.start()):
        return last_seal, None
    return last_seal, f"call:{answered[1].decode('utf-8', 'replace')}"


@lru_cache(maxsize=16)
def _result_pattern(name: bytes) -> re.Pattern[bytes]:
    return re.compile(rb'"%b"\s*:\s*"([^"\\]{1,200})"' % re.escape(name))


def _last(pattern: re.Pattern[bytes], raw: bytes, start: int) -> re.Match[bytes] | None:
    found = [*pattern.finditer(raw, start)]
    return found[-1] if found else None


def _seals(raw: bytes, pattern: re.Pattern[bytes]) -> list[bytes]:
    """Return the last seals in a body."""
    found = dict.fromkeys(standard(_seal_in(match)) for match in pattern.finditer(raw))
    return [seal for seal in found if is_seal(seal)][-MOST_SEALS:]


def _without(held: Body, sealed: SealedThinking, foreign: Foreign, model: str) -> tuple[Body, list[str]]:
    """Return a body without what is foreign, and what that is. Members that need no change keep their bytes."""
    before = held.content
    after = dict(before)
    dropped = sealed.leave_out(after, foreign, model)
    body = held.copy()
    for name in before:
        if name not in after:
            body.remove(name)
        elif after[name] is not before[name]:
            body.replace(name, write_value(after[name]))
    return body, dropped
