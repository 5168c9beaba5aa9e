"""Who made what, as it is learned from answers and looked up by requests."""

from __future__ import annotations

import gzip
import json

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.call import Call
from llmproxy.dialects import catalog
from llmproxy.dialects.summary import Summary
from llmproxy.exchange import Exchange
from llmproxy.routing.affinity import STORED_HERE, Affinity
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.memory import MemoryBlobs
from llmproxy.target import Target
from llmproxy.wire.compression import compress
from tests.support.exchanges import new_exchange
from tests.support.pieces import Pieces
from tests.support.targets import Moody
from tests.support.vendors import event_frame


def asking(path: str = "/v1/responses", tenant: str = "a", **body: object) -> Exchange:
    exchange = new_exchange(path, body={"model": "m", **body})
    exchange.client.tenant = tenant
    exchange.endpoint = catalog.find("POST", path)
    return exchange


def answered(exchange: Exchange, body: bytes, *, translated: bool = False, encoding: str = "") -> Answer:
    summary = Summary() if translated else None
    exchange.calls = [Call(target=Target(provider=Moody("east")), model="m", summary=summary)]
    headers = Headers([("Content-Encoding", encoding)] if encoding else [])
    return Answer(status=200, headers=headers, body=body)


async def test_what_an_answer_names_belongs_to_its_provider_for_the_same_client_alone() -> None:
    affinity = Affinity(MemoryBlobs(1 << 20))
    exchange = asking()
    await affinity.learn(exchange, answered(exchange, b'{"id": "resp_123"}'))
    assert await affinity.maker(asking(previous_response_id="resp_123")) == "east"
    assert await affinity.maker(asking(tenant="b", previous_response_id="resp_123")) == ""
    assert await affinity.maker(asking(previous_response_id="resp_other")) == ""
    assert await affinity.maker(asking()) is None


async def test_what_translation_stored_is_ours_and_compressed_answers_are_read() -> None:
    affinity = Affinity(MemoryBlobs(1 << 20))
    exchange = asking()
    await affinity.learn(exchange, answered(exchange, b'{"id": "resp_123"}', translated=True))
    assert await affinity.maker(asking(previous_response_id="resp_123")) == STORED_HERE
    body = gzip.compress(b'{"id": "resp_456"}')
    await affinity.learn(exchange, answered(exchange, body, encoding="gzip"))
    assert await affinity.maker(asking(previous_response_id="resp_456")) == "east"
    await affinity.learn(exchange, answered(exchange, body[:9], encoding="gzip"))


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("size", [1, 20, 10_000])
async def test_compressed_streams_are_read_as_far_as_their_first_event(encoding: str, size: int) -> None:
    affinity = Affinity(MemoryBlobs(1 << 20))
    made = {"id": "resp_first", "conversation": {"id": "conv_first"}}
    whole = b"".join(event_frame({"type": "response.created", "response": made, "n": n}) for n in range(3))
    sent = compress(whole, encoding)
    exchange = asking()
    answer = answered(exchange, sent[:1], encoding=encoding)
    answer.stream = Pieces(*(sent[at : at + size] for at in range(1, len(sent), size)))
    await affinity.learn(exchange, answer)
    assert answer.stream is not None
    data = answer.body
    while piece := await answer.stream.read():
        data += piece
    assert data == sent
    assert await affinity.maker(asking(previous_response_id="resp_first")) == "east"
    assert await affinity.maker(asking(conversation={"id": "conv_first"})) == "east"


async def test_which_credential_made_something_is_known_too() -> None:
    affinity = Affinity(MemoryBlobs(1 << 20))
    exchange = asking()
    answer = answered(exchange, b'{"id": "resp_123"}')
    exchange.calls[0].credential = "5f" * 8
    await affinity.learn(exchange, answer)
    later = asking(previous_response_id="resp_123")
    assert (await affinity.maker(later), later.credential) == ("east", "5f" * 8)
    assert asking().credential == ""


@pytest.mark.parametrize("value", [b"\xff\x00", b" ", b"", b"nobody", b"east  " + b"x" * 1_000_000, b"\n\r"])
async def test_values_of_others_in_the_store_fail_nothing(value: bytes) -> None:
    class Garbage(MemoryBlobs):
        async def get(self, key: str) -> bytes | None:
            return value

    assert await Affinity(Garbage(10)).maker(asking(previous_response_id="resp_1")) is not None


@pytest.mark.parametrize(
    "named",
    [7, None, ["x"], {"id": 7}, "", "\ud800", "x" * 1_000_000, "a\x00b", "../..", "{}"],
    ids=lambda named: repr(named)[:20],
)
async def test_ids_of_any_form_are_looked_up_or_passed_over(named: object) -> None:
    affinity = Affinity(MemoryBlobs(1 << 20))
    assert await affinity.maker(asking(previous_response_id=named)) in (None, "")
    exchange = asking()
    await affinity.learn(exchange, answered(exchange, json.dumps({"id": named}).encode()))


async def test_many_ids_stay_within_the_bound_and_the_newest_are_known() -> None:
    blobs = MemoryBlobs(1 << 16)
    affinity = Affinity(blobs)
    for number in range(600):
        exchange = asking()
        await affinity.learn(exchange, answered(exchange, b'{"id": "resp_%06d"}' % number))
    assert ((await blobs.size()).bytes or 0) <= 1 << 16
    assert await affinity.maker(asking(previous_response_id="resp_000599")) == "east"
    assert await affinity.maker(asking(previous_response_id="resp_000000")) == ""


async def test_stateless_answers_errors_and_a_store_that_fails_teach_nothing() -> None:
    class Broken(MemoryBlobs):
        async def get(self, key: str) -> bytes | None:
            raise StoreFault("gone")

        async def set(self, key: str, value: bytes, ttl_s: float) -> None:
            raise StoreFault("gone")

    blobs = MemoryBlobs(1 << 20)
    chat = asking("/v1/chat/completions")
    await Affinity(blobs).learn(chat, answered(chat, b'{"id": "chatcmpl-1"}'))
    refused = answered(asking(), b'{"id": "resp_123"}')
    refused.status = 400
    await Affinity(blobs).learn(asking(), refused)
    assert (await blobs.size()).entries == 0
    exchange = asking()
    await Affinity(Broken(10)).learn(exchange, answered(exchange, b'{"id": "resp_123"}'))
    assert await Affinity(Broken(10)).maker(asking(previous_response_id="resp_123")) == ""
