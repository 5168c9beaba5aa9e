"""Who sealed what, as it is learned from answers, looked up by requests, and left out where others would refuse it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.body import Body
from llmproxy.call import Call
from llmproxy.dialects import catalog
from llmproxy.dialects.dialect import Dialect
from llmproxy.exchange import Exchange
from llmproxy.routing.sealed_history import MOST_SEALS, SealedHistories, SealedHistory, history_of
from llmproxy.stores.blobs import BlobStore
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.memory import MemoryBlobs
from llmproxy.target import Target
from tests.support.exchanges import new_exchange
from tests.support.pieces import Pieces
from tests.support.targets import Moody
from tests.support.vendors import event_frame

EAST = Target(provider=Moody("east"), model="claude-sonnet-4-5")
WEST = Target(provider=Moody("west"), model="claude-opus-4-6")
SEAL = "Eq" + "QBCk-_" * 60  # longer than what is looked at
MESSAGES = "/v1/messages"


def block(seal: str = SEAL) -> dict[str, Any]:
    return {"type": "thinking", "thinking": "hm", "signature": seal}


def asking(*blocks: object, tenant: str = "a", path: str = MESSAGES, **more: object) -> Exchange:
    said = {"role": "assistant", "content": [*blocks, {"type": "text", "text": "b"}]}
    messages = [{"role": "user", "content": "a"}, said, {"role": "user", "content": "c"}]
    exchange = new_exchange(path, body={"model": "m", "messages": messages, **more})
    exchange.client.tenant = tenant
    exchange.endpoint = catalog.find("POST", path)
    return exchange


def dialect(exchange: Exchange) -> Dialect:
    assert exchange.endpoint is not None
    return exchange.endpoint.dialect


def answered(exchange: Exchange, *pieces: bytes, target: Target = EAST) -> Answer:
    exchange.calls = [Call(target=target, model=target.model)]
    stream = Pieces(*pieces[1:]) if len(pieces) > 1 else None
    return Answer(status=200, headers=Headers(), body=pieces[0], stream=stream)


async def learn(histories: SealedHistories, exchange: Exchange, *pieces: bytes, target: Target = EAST) -> None:
    answer = answered(exchange, *pieces, target=target)
    if histories.may_learn(exchange, answer):
        await histories.learn(exchange, answer)
    while answer.stream is not None and await answer.stream.read():
        pass


async def find(histories: SealedHistories, exchange: Exchange, *, translates: bool = False) -> SealedHistory | None:
    if histories.may_know(exchange, lambda: translates):
        await histories.find(exchange)
    return history_of(exchange)


def plain(*seals: str) -> bytes:
    return json.dumps({"content": [block(seal) for seal in seals]}).encode()


async def test_a_conversation_goes_to_who_sealed_its_last_thinking() -> None:
    histories = SealedHistories(MemoryBlobs(1 << 20))
    await learn(histories, asking(), plain("first" * 9, SEAL))
    history = await find(histories, asking(block("first" * 9), block()))
    assert history is not None and history.first([WEST, EAST], "m") == [EAST]
    assert not history.moved(EAST, EAST.model) and history.moved(WEST, WEST.model)
    for unknown in (asking(block(), tenant="b"), asking(block("other" * 9))):
        history = await find(histories, unknown)
        assert history is not None and history.unknown and history.first([EAST, WEST], "m") == []
    assert await find(histories, asking()) is None


@pytest.mark.parametrize("seal", ["s", "sig_1", "reasoning"])
async def test_what_a_vendor_calls_a_seal_is_one_however_short(seal: str) -> None:
    """But not what translation writes in its place."""
    histories = SealedHistories(MemoryBlobs(1 << 20))
    await learn(histories, asking(), plain(seal))
    exchange = asking(block(seal))
    history = await find(histories, exchange)
    assert history is not None
    known = seal != "reasoning"
    assert history.first([WEST, EAST], "m") == ([EAST] if known else [])
    call = Call(target=EAST, model=EAST.model)
    body = await history.body_for(exchange, call, dialect(exchange))
    assert (body is None) is known and call.dropped == ([] if known else ["messages[1].content[0]"])


async def test_the_maker_stands_before_others_that_accept_its_seals_and_reserves_stand_behind() -> None:
    histories = SealedHistories(MemoryBlobs(1 << 20))
    await learn(histories, asking(), plain(SEAL))
    twin = Target(provider=Moody("twin"), model="anthropic.claude-sonnet-4-5-20250929-v1:0")
    reserve = Target(provider=Moody("reserve"), model=EAST.model, weight=0)
    history = await find(histories, asking(block()))
    assert history is not None and history.first([WEST, reserve, twin, EAST], "m") == [EAST, twin]


async def test_seals_of_streams_are_known_wherever_reads_end() -> None:
    delta: dict[str, object] = {"type": "content_block_delta", "delta": {"type": "signature_delta", "signature": SEAL}}
    whole = event_frame({"type": "message_start"}) + event_frame(delta) + event_frame({"type": "message_stop"})
    for size in (1, 7, 64, 100, len(whole)):
        histories = SealedHistories(MemoryBlobs(1 << 20))
        await learn(histories, asking(), b"", *(whole[at : at + size] for at in range(0, len(whole), size)))
        assert await find(histories, asking(block())) is not None, size


async def test_what_another_sealed_is_left_out_and_listed_and_no_other_byte_changes() -> None:
    histories = SealedHistories(MemoryBlobs(1 << 20))
    await learn(histories, asking(), plain(SEAL))
    exchange = asking(block(), big=12345678901234567890, exact=1.10)
    history = await find(histories, exchange)
    call = Call(target=WEST, model=WEST.model)
    assert history is not None
    body = await history.body_for(exchange, call, dialect(exchange))
    assert isinstance(body, Body) and call.dropped == ["messages[1].content[0]"]
    assert body.content["messages"][1]["content"] == [{"type": "text", "text": "b"}]
    end = exchange.held.raw.partition(b'"big"')[2]
    assert body.raw.endswith(end) and SEAL.encode() in exchange.held.raw
    own = Call(target=EAST, model=EAST.model)
    assert await history.body_for(exchange, own, dialect(exchange)) is None and own.dropped == []
    chat = catalog.by_name("chat")
    assert chat is not None and await history.body_for(exchange, call, chat) is None  # translation leaves it out


async def test_who_took_over_stays_and_gets_its_own_alone() -> None:
    histories, other = SealedHistories(MemoryBlobs(1 << 20)), "W" * 40
    await learn(histories, asking(), plain(SEAL))
    moved = asking(block())
    await find(histories, moved)
    await learn(histories, moved, plain(other), target=WEST)
    exchange = asking(block(), block(other))
    history = await find(histories, exchange)
    assert history is not None and history.first([EAST, WEST], "m") == [WEST] and history.moved(WEST, WEST.model)
    call = Call(target=WEST, model=WEST.model)
    body = await history.body_for(exchange, call, dialect(exchange))
    assert body is not None
    assert [each.get("signature") for each in body.content["messages"][1]["content"]] == [other, None]


async def test_a_call_without_thinking_that_stands_behind_tells_who_took_over() -> None:
    histories = SealedHistories(MemoryBlobs(1 << 20))
    await learn(histories, asking(), plain(SEAL))
    moved = asking(block())
    await find(histories, moved)
    await learn(histories, moved, b'{"id":"msg_012345","content":[{"type":"tool_use","id":"toolu_9"}]}', target=WEST)
    result = {"type": "tool_result", "tool_use_id": "toolu_9"}
    history = await find(histories, asking(block(), result))
    assert history is not None and history.first([EAST, WEST], "m") == [WEST]
    history = await find(histories, asking(result, block()))
    assert history is not None and history.first([EAST, WEST], "m") == [EAST]


async def test_what_nobody_knows_goes_as_it_is_and_once_more_without_it_where_that_is_refused() -> None:
    exchange = asking(block())
    history = await find(SealedHistories(MemoryBlobs(1 << 20)), exchange)
    assert history is not None and history.first([EAST, WEST], "m") == [] and not history.moved(EAST, EAST.model)
    first = Call(target=EAST, model=EAST.model)
    assert await history.body_for(exchange, first, dialect(exchange)) is None
    assert history.doubt(first)
    again = Call(target=EAST, model=EAST.model)
    assert await history.body_for(exchange, again, dialect(exchange)) is not None
    assert again.dropped and not history.doubt(again)


async def test_who_refuses_what_it_should_accept_gets_it_no_more_but_the_maker_is_believed() -> None:
    histories = SealedHistories(MemoryBlobs(1 << 20))
    await learn(histories, asking(), plain(SEAL))
    twin = Target(provider=Moody("twin"), model=EAST.model)
    exchange = asking(block())
    history = await find(histories, exchange)
    assert history is not None and not history.doubt(Call(target=EAST, model=EAST.model))
    assert history.doubt(Call(target=twin, model=twin.model))
    assert await history.body_for(exchange, Call(target=twin, model=twin.model), dialect(exchange)) is not None


async def test_keys_of_one_provider_may_belong_to_several_accounts() -> None:
    histories = SealedHistories(MemoryBlobs(1 << 20))
    several = Moody("several")
    several.rotates = True
    target = Target(provider=several, model="gpt-5.5")
    await learn(histories, asking(), plain(SEAL), target=target)
    exchange = asking(block())
    history, call = await find(histories, exchange), Call(target=target, model=target.model)
    assert history is not None and await history.body_for(exchange, call, dialect(exchange)) is None
    assert history.doubt(call)
    assert await history.body_for(exchange, call, dialect(exchange)) is not None


async def test_thinking_that_translation_wrote_is_nobodys() -> None:
    exchange = asking(block("reasoning_content"))
    history = await find(SealedHistories(MemoryBlobs(1 << 20)), exchange)
    assert history is not None and history.first([EAST, WEST], "m") == []
    call = Call(target=WEST, model=WEST.model)
    assert await history.body_for(exchange, call, dialect(exchange)) is not None


class Broken(MemoryBlobs):
    async def get(self, key: str) -> bytes | None:
        raise StoreFault("gone")

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        raise StoreFault("gone")


class Garbage(MemoryBlobs):
    """A store in which somebody else wrote."""

    value = b""

    async def get(self, key: str) -> bytes | None:
        return self.value


async def test_without_its_store_only_what_this_process_saw_is_known_and_nothing_fails() -> None:
    histories = SealedHistories(Broken(10))
    await learn(histories, asking(), plain(SEAL))
    history = await find(histories, asking(block()))
    assert history is not None and history.first([EAST, WEST], "m") == [EAST]
    other = await find(SealedHistories(Broken(10)), asking(block()))
    assert other is not None and other.last is None


@pytest.mark.parametrize(
    "value", [b"\xff", b"{}", b"[]", b'["east"]', b'["east",7,true]', b'["east","m",true,1]', b"[" * 9999, b"null"]
)
async def test_a_value_that_makes_no_sense_is_no_knowledge(value: bytes) -> None:
    store: BlobStore = Garbage(10)
    Garbage.value = value
    history = await find(SealedHistories(store), asking(block()))
    assert history is not None and history.unknown


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b'"signature":"',
        b'{"messages":[{"role":"assistant","content":[{"type":"thinking","signature":"%b"}]}' % (b"A" * 40),
        b'{"signature":"%b"}' % (b"A" * 1_000_000),
        b'{"messages":' + b"[" * 5000 + b'"signature":"' + b"A" * 40,
        b'"signature"' * 50_000,
        b'"data":"%b"' % (b"A" * 200_000) + b'redacted_thinking"',
    ],
    ids=lambda raw: f"{raw[:20]!r} {len(raw)}",
)
async def test_odd_bodies_are_no_fault(raw: bytes) -> None:
    store: BlobStore = Garbage(10)
    Garbage.value = b'["east","claude-sonnet-4-5",true]'
    exchange = asking()
    exchange.body = Body(raw)
    history = await find(SealedHistories(store), exchange)
    if history is not None:
        await history.body_for(exchange, Call(target=WEST, model=WEST.model), dialect(exchange))


async def test_the_seals_of_an_endless_history_are_looked_up_to_a_bound() -> None:
    class Counting(Garbage):
        asked = 0

        async def get(self, key: str) -> bytes | None:
            Counting.asked += 1
            return self.value

    Counting.value = b'["east","claude-sonnet-4-5",true]'
    exchange = asking(*(block(f"{number:040d}") for number in range(MOST_SEALS + 500)))
    history = await find(SealedHistories(Counting(10)), exchange)
    assert history is not None and Counting.asked == 1
    call = Call(target=EAST, model=EAST.model)
    await history.body_for(exchange, call, dialect(exchange))
    assert Counting.asked == MOST_SEALS + 1
    assert len(call.dropped) == 500  # older ones count as those of others
