"""Who made what, as it is learned from answers and looked up by requests."""

from __future__ import annotations

import gzip

from llmproxy.answer import Answer, Headers
from llmproxy.call import Call
from llmproxy.dialects import catalog
from llmproxy.dialects.summary import Summary
from llmproxy.exchange import Exchange
from llmproxy.routing.affinity import STORED_HERE, Affinity
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.memory import MemoryBlobs
from llmproxy.target import Target
from tests.support.exchanges import new_exchange
from tests.support.targets import Moody


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
