"""What the Responses API remembers, over providers that remember nothing."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from openai.types.responses import ResponseInputMessageItem

from llmproxy.answer import Headers
from llmproxy.body import Body
from llmproxy.client_request import Client
from llmproxy.dialects.catalog import find
from llmproxy.errors import BadRequest, ProxyError
from llmproxy.exchange import Exchange
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.memory import MemoryResponses
from llmproxy.translation.conversations import Conversations


def exchange(
    method: str = "POST", target: str = "/v1/responses", body: Any = None, address: str = "1.2.3.4"
) -> Exchange:
    path, _, query = target.partition("?")
    return Exchange(
        id="x",
        method=method,
        full_path=path,
        path=path,
        query=query,
        headers=Headers(),
        client=Client(address=address),
        started_s=0.0,
        began_s=0.0,
        endpoint=find(method, path),
        body=None if body is None else Body(json.dumps(body).encode()),
    )


def stored() -> Conversations:
    return Conversations(MemoryResponses(1 << 20))


def answered(name: str, words: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": words, "annotations": []}
    message = {"id": f"msg_{name}", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    return {"id": f"resp_{name}", "object": "response", "output": [message]}


def texts(item: dict[str, Any]) -> list[str]:
    return [part["text"] for part in item["content"]]


async def told(made: Conversations, method: str, target: str, address: str = "1.2.3.4", body: Any = None) -> Any:
    answer = await made.answer(exchange(method, target, body, address), alone=True)
    assert answer is not None and answer.status == 200
    return json.loads(answer.body)


async def test_an_earlier_response_is_continued_with_all_that_was_said() -> None:
    made = stored()
    _, turn = await made.begin(exchange(), {"input": "one"})
    await made.finish(turn, answered("1", "uno"))
    body, turn = await made.begin(exchange(), {"input": "two", "previous_response_id": "resp_1"})
    await made.finish(turn, answered("2", "dos"))
    body, _ = await made.begin(
        exchange(), {"input": [{"role": "user", "content": "three"}], "previous_response_id": "resp_2"}
    )

    said = [
        item["content"] if isinstance(item["content"], str) else item["content"][0]["text"] for item in body["input"]
    ]
    assert said == ["one", "uno", "two", "dos", "three"]
    assert [item["role"] for item in body["input"]] == ["user", "assistant", "user", "assistant", "user"]


async def test_without_earlier_state_the_request_stays_as_it_is() -> None:
    request = {"input": "one", "model": "m"}
    body, _ = await stored().begin(exchange(), request)
    assert body is request


async def test_what_should_not_be_stored_is_not() -> None:
    made = stored()
    _, turn = await made.begin(exchange(), {"input": "one", "store": False})
    await made.finish(turn, answered("1", "uno"))
    with pytest.raises(BadRequest, match="not found"):
        await told(made, "GET", "/v1/responses/resp_1")


async def test_another_tenant_sees_nothing_of_it() -> None:
    made = stored()
    _, turn = await made.begin(exchange(), {"input": "one"})
    await made.finish(turn, answered("1", "uno"))
    with pytest.raises(BadRequest) as refused:
        await told(made, "GET", "/v1/responses/resp_1", address="9.9.9.9")
    assert refused.value.status == 404
    with pytest.raises(BadRequest) as refused:
        await made.begin(exchange(address="9.9.9.9"), {"input": "two", "previous_response_id": "resp_1"})
    assert (refused.value.status, refused.value.code) == (404, "previous_response_not_found")


async def test_a_response_is_shown_listed_and_deleted() -> None:
    made = stored()
    items = [{"role": "user", "content": str(number)} for number in range(30)]
    _, turn = await made.begin(exchange(), {"input": items})
    await made.finish(turn, answered("1", "uno"))

    page = await told(made, "GET", "/v1/responses/resp_1/input_items")
    assert [texts(item) for item in page["data"]] == [[str(number)] for number in range(29, 9, -1)]
    for item in page["data"]:
        ResponseInputMessageItem.model_validate(item)
    assert page["has_more"] and page["object"] == "list" and page["first_id"] == page["data"][0]["id"]
    rest = await told(made, "GET", f"/responses/resp_1/input_items?limit=100&after={page['last_id']}")
    assert [texts(item) for item in rest["data"]] == [[str(number)] for number in range(9, -1, -1)]
    assert not rest["has_more"]
    first = await told(made, "GET", "/v1/responses/resp_1/input_items?order=asc&limit=1")
    assert [texts(item) for item in first["data"]] == [["0"]]

    with pytest.raises(BadRequest, match="background"):
        await told(made, "POST", "/v1/responses/resp_1/cancel")
    assert await told(made, "DELETE", "/v1/responses/resp_1") == {"id": "resp_1", "object": "response", "deleted": True}
    with pytest.raises(BadRequest, match="Response with id 'resp_1' not found"):
        await told(made, "DELETE", "/v1/responses/resp_1")


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "order=up", "after=nobody"])
async def test_a_page_that_is_asked_for_wrongly_is_a_400(query: str) -> None:
    made = stored()
    _, turn = await made.begin(exchange(), {"input": "one"})
    await made.finish(turn, answered("1", "uno"))
    with pytest.raises(BadRequest) as refused:
        await told(made, "GET", f"/v1/responses/resp_1/input_items?{query}")
    assert (refused.value.status, refused.value.param) == (400, query.partition("=")[0])


async def test_a_reference_to_what_was_answered_is_what_it_speaks_of() -> None:
    made = stored()
    _, turn = await made.begin(exchange(), {"input": "one"})
    await made.finish(turn, answered("1", "uno"))
    said = {"role": "user", "content": "two"}
    for reference in ({"type": "item_reference", "id": "msg_1"}, {"id": "msg_1"}):
        body, _ = await made.begin(exchange(), {"input": [reference, said]})
        assert body["input"] == [answered("1", "uno")["output"][0], said]

    await told(made, "DELETE", "/v1/responses/resp_1")
    for address in ("1.2.3.4", "9.9.9.9"):
        with pytest.raises(BadRequest, match="Item with id 'msg_1' not found") as refused:
            await made.begin(exchange(address=address), {"input": [said, {"type": "item_reference", "id": "msg_1"}]})
        assert (refused.value.status, refused.value.param) == (404, "input[1].id")


async def test_an_item_is_no_response_and_a_response_no_conversation() -> None:
    made = stored()
    _, turn = await made.begin(exchange(), {"input": "one"})
    await made.finish(turn, answered("1", "uno"))
    for target in ("/v1/responses/msg_1", "/v1/conversations/resp_1"):
        with pytest.raises(BadRequest, match="not found"):
            await told(made, "GET", target)
    for member in ({"previous_response_id": "msg_1"}, {"conversation": "resp_1"}, {"conversation": "item\nmsg_1"}):
        with pytest.raises(BadRequest, match="not found"):
            await made.begin(exchange(), {"input": "two", **member})


async def test_thinking_that_was_only_shown_is_not_sent_again() -> None:
    made = stored()
    shown: dict[str, Any] = {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
    sealed = shown | {"id": "rs_2", "encrypted_content": "g="}
    _, turn = await made.begin(exchange(), {"input": "one"})
    response = answered("1", "uno")
    await made.finish(turn, response | {"output": [shown, sealed, *response["output"]]})
    body, turn = await made.begin(exchange(), {"input": "two", "previous_response_id": "resp_1"})
    assert [item.get("id") for item in body["input"][1:3]] == ["rs_2", "msg_1"]
    assert turn.places.of("input[3].content[0].text") == "input"
    assert turn.places.of("input[1]") == "previous_response_id"


async def test_a_conversation_grows_with_each_turn() -> None:
    made = stored()
    first = {"type": "message", "role": "developer", "content": "Be brief"}
    begun = await told(made, "POST", "/v1/conversations", body={"metadata": {"a": "b"}, "items": [first]})
    assert begun["object"] == "conversation" and begun["metadata"] == {"a": "b"}
    for given in (begun["id"], {"id": begun["id"]}):
        body, turn = await made.begin(exchange(), {"input": "go on", "conversation": given, "store": False})
        await made.finish(turn, answered("1", "yes"))
    assert [item["role"] for item in body["input"]] == ["developer", "user", "assistant", "user"]
    page = await told(made, "GET", f"/v1/conversations/{begun['id']}/items?order=asc")
    assert [item["role"] for item in page["data"]] == ["developer", "user", "assistant", "user", "assistant"]
    assert await told(made, "GET", f"/v1/conversations/{begun['id']}") == begun
    deleted = await told(made, "DELETE", f"/v1/conversations/{begun['id']}")
    assert deleted == {"id": begun["id"], "object": "conversation.deleted", "deleted": True}


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"input": "x", "background": True}, 400, "background"),
        ({"input": "x", "previous_response_id": 5}, 400, "previous_response_id"),
        ({"input": "x", "previous_response_id": "resp_9"}, 404, "previous_response_id"),
        ({"input": "x", "conversation": "conv_9"}, 404, "conversation"),
        ({"input": "x", "conversation": {"id": 5}}, 400, "id"),
        ({"input": "x", "conversation": "c", "previous_response_id": "r"}, 400, "previous_response_id"),
        ({"input": 5}, 400, "input"),
        ({"input": ["x"]}, 400, "input"),
    ],
)
async def test_what_cannot_be_continued_is_refused(body: dict[str, Any], status: int, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        await stored().begin(exchange(), body)
    assert (refused.value.status, refused.value.param) == (status, param)


async def test_what_belongs_to_a_provider_is_left_to_it() -> None:
    made = stored()
    for method, target in (
        ("GET", "/v1/responses/resp_1"),
        ("POST", "/v1/conversations"),
        ("GET", "/v1/files/f"),
        ("POST", "/v1/responses"),
    ):
        assert await made.answer(exchange(method, target), alone=False) is None


async def test_every_answer_gets_an_id_of_its_own() -> None:
    made = stored()
    turns = [(await made.begin(exchange(), {"input": "one"}))[1] for _ in range(2)]
    assert all(re.fullmatch("resp_[0-9a-f]{48}", turn.response_id) for turn in turns)
    assert turns[0].response_id != turns[1].response_id


async def test_turns_of_a_conversation_at_the_same_time_are_all_kept() -> None:
    store = Slow(1 << 20)
    made = Conversations(store)
    begun = await told(made, "POST", "/v1/conversations", body={})

    async def say(number: int) -> None:
        _, turn = await made.begin(exchange(), {"input": f"q{number}", "conversation": begun["id"], "store": False})
        await made.finish(turn, answered(str(number), f"a{number}"))

    await asyncio.gather(*(say(number) for number in range(5)))
    page = await told(made, "GET", f"/v1/conversations/{begun['id']}/items?order=asc")
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
    made = Conversations(store)
    _, turn = await made.begin(exchange(), {"input": "one"})
    await made.finish(turn, answered("1", "uno"))
    store.gone = True

    body, turn = await made.begin(exchange(), {"input": "one"})
    assert body == {"input": "one"}
    await made.finish(turn, answered("2", "dos"))
    calls = [
        made.begin(exchange(), {"input": "two", "previous_response_id": "resp_1"}),
        made.begin(exchange(), {"input": "two", "conversation": "conv_1"}),
        made.begin(exchange(), {"input": [{"type": "item_reference", "id": "msg_1"}]}),
        made.answer(exchange("GET", "/v1/responses/resp_1"), alone=True),
        made.answer(exchange("POST", "/v1/conversations", {}), alone=True),
    ]
    for call in calls:
        with pytest.raises(ProxyError) as refused:
            await call
        assert (refused.value.status, refused.value.code) == (503, "store_unavailable")
    assert await made.answer(exchange("GET", "/v1/responses/resp_1"), alone=False) is None

    store.gone = False
    await made.begin(exchange(), {"input": "two", "previous_response_id": "resp_1"})
    with pytest.raises(BadRequest, match="not found"):
        await made.begin(exchange(), {"input": "two", "previous_response_id": "resp_2"})


async def test_ids_of_any_form_are_unknown_ids() -> None:
    for name in ("", "\ud800", "x" * 100_000, "a\0b"):
        with pytest.raises(BadRequest, match="not found"):
            await stored().begin(exchange(), {"input": "x", "previous_response_id": name})


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

    made = Conversations(Foreign(1 << 20))
    for body in (
        {"input": "two", "previous_response_id": "resp_1"},
        {"input": "two", "conversation": "conv_1"},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
    ):
        with pytest.raises(BadRequest) as refused:
            await made.begin(exchange(), body)
        assert refused.value.status == 404
    for method, target in (
        ("GET", "responses/resp_1"),
        ("DELETE", "responses/resp_1"),
        ("GET", "responses/resp_1/input_items"),
        ("GET", "conversations/conv_1/items"),
        ("POST", "conversations/conv_1/items"),
    ):
        with pytest.raises(BadRequest) as refused:
            await made.answer(exchange(method, f"/v1/{target}", {"items": []}), alone=True)
        assert refused.value.status == 404
