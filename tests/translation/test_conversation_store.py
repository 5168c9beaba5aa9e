from __future__ import annotations

import asyncio
import json

import pytest

from llmproxy.errors import BadRequest, ProxyError
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.memory import MemoryResponses
from tests.support.stored_turns import StoredTurns, answered, exchange, texts


async def test_turns_of_a_conversation_at_the_same_time_are_all_kept() -> None:
    store = Slow(1 << 20)
    stored = StoredTurns(store)
    begun = await stored.call("POST", "/v1/conversations", body={})

    async def say(number: int) -> None:
        response = answered(str(number), f"a{number}")
        await stored.take(response, input=f"q{number}", conversation=begun["id"], store=False)

    await asyncio.gather(*(say(number) for number in range(5)))
    page = await stored.call("GET", f"/v1/conversations/{begun['id']}/items?order=asc")
    said = sorted(texts(item)[0] for item in page["data"])
    assert said == sorted([*(f"q{number}" for number in range(5)), *(f"a{number}" for number in range(5))])


class Slow(MemoryResponses):
    """A store that lets others go on while it works, and fails while it is `gone`."""

    gone = False

    async def get(self, key: str) -> bytes | None:
        await asyncio.sleep(0)
        if self.gone:
            raise StoreFault("gone")
        return await super().get(key)

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        if self.gone:
            raise StoreFault("gone")
        await super().set(key, value, ttl_s)


async def test_without_the_store_what_needs_it_is_a_503_and_all_else_goes_on() -> None:
    store = Slow(1 << 20)
    stored = StoredTurns(store)
    await stored.take(answered("1", "uno"), input="one")
    store.gone = True

    body, turn = await stored.turns.begin(exchange(), {"input": "one"})
    assert body == {"input": "one"}
    await stored.turns.finish(turn, answered("2", "dos"))
    calls = [
        stored.turns.begin(exchange(), {"input": "two", "previous_response_id": "resp_1"}),
        stored.turns.begin(exchange(), {"input": "two", "conversation": "conv_1"}),
        stored.turns.begin(exchange(), {"input": [{"type": "item_reference", "id": "msg_1"}]}),
        stored.calls.answer(exchange("GET", "/v1/responses/resp_1"), alone=True),
        stored.calls.answer(exchange("POST", "/v1/conversations", {}), alone=True),
    ]
    for call in calls:
        with pytest.raises(ProxyError) as refused:
            await call
        assert (refused.value.status, refused.value.code) == (503, "store_unavailable")
    assert await stored.calls.answer(exchange("GET", "/v1/responses/resp_1"), alone=False) is None

    store.gone = False
    await stored.turns.begin(exchange(), {"input": "two", "previous_response_id": "resp_1"})
    with pytest.raises(BadRequest, match="not found"):
        await stored.turns.begin(exchange(), {"input": "two", "previous_response_id": "resp_2"})


async def test_ids_of_any_form_are_unknown_ids() -> None:
    for name in ("", "\ud800", "x" * 100_000, "a\0b"):
        with pytest.raises(BadRequest, match="not found"):
            await StoredTurns().turns.begin(exchange(), {"input": "x", "previous_response_id": name})


@pytest.mark.parametrize(
    "state",
    [
        {},
        [],
        {"response": 5, "items": 7},
        {"response": {}, "items": [3]},
        {"response": {"output": [1]}, "items": []},
        {"response": {"output": []}, "items": [{"type": "message"}]},
        {"conversation": 1},
        {"conversation": {}, "items": {}},
        {"item": 4},
    ],
)
async def test_what_is_stored_in_another_form_is_unknown(state: object) -> None:
    class Foreign(MemoryResponses):
        """A store with that value under every key."""

        async def get(self, key: str) -> bytes | None:
            return json.dumps(state).encode()

    stored = StoredTurns(Foreign(1 << 20))
    for body in (
        {"input": "two", "previous_response_id": "resp_1"},
        {"input": "two", "conversation": "conv_1"},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
    ):
        with pytest.raises(BadRequest) as refused:
            await stored.turns.begin(exchange(), body)
        assert refused.value.status == 404
    for method, target in (
        ("GET", "responses/resp_1"),
        ("DELETE", "responses/resp_1"),
        ("GET", "responses/resp_1/input_items"),
        ("GET", "conversations/conv_1/items"),
        ("POST", "conversations/conv_1/items"),
    ):
        with pytest.raises(BadRequest) as refused:
            await stored.calls.answer(exchange(method, f"/v1/{target}", {"items": []}), alone=True)
        assert refused.value.status == 404
