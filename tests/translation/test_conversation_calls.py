from __future__ import annotations

import pytest
from openai.types.responses import ResponseInputMessageItem

from llmproxy.errors import BadRequest
from tests.support.stored_turns import StoredTurns, answered, exchange, texts


async def test_a_response_is_shown_listed_and_deleted() -> None:
    stored = StoredTurns()
    items = [{"role": "user", "content": str(number)} for number in range(30)]
    await stored.take(answered("1", "uno"), input=items)

    page = await stored.call("GET", "/v1/responses/resp_1/input_items")
    assert [texts(item) for item in page["data"]] == [[str(number)] for number in range(29, 9, -1)]
    for item in page["data"]:
        ResponseInputMessageItem.model_validate(item)
    assert page["has_more"] and page["object"] == "list" and page["first_id"] == page["data"][0]["id"]
    rest = await stored.call("GET", f"/responses/resp_1/input_items?limit=100&after={page['last_id']}")
    assert [texts(item) for item in rest["data"]] == [[str(number)] for number in range(9, -1, -1)]
    assert not rest["has_more"]
    first = await stored.call("GET", "/v1/responses/resp_1/input_items?order=asc&limit=1")
    assert [texts(item) for item in first["data"]] == [["0"]]

    with pytest.raises(BadRequest, match="background"):
        await stored.call("POST", "/v1/responses/resp_1/cancel")
    assert await stored.call("DELETE", "/v1/responses/resp_1") == {
        "id": "resp_1",
        "object": "response",
        "deleted": True,
    }
    with pytest.raises(BadRequest, match="Response with id 'resp_1' not found"):
        await stored.call("DELETE", "/v1/responses/resp_1")


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "order=up", "after=nobody"])
async def test_a_page_that_is_asked_for_wrongly_is_a_400(query: str) -> None:
    stored = StoredTurns()
    await stored.take(answered("1", "uno"), input="one")
    with pytest.raises(BadRequest) as refused:
        await stored.call("GET", f"/v1/responses/resp_1/input_items?{query}")
    assert (refused.value.status, refused.value.param) == (400, query.partition("=")[0])


async def test_an_item_is_no_response_and_a_response_no_conversation() -> None:
    stored = StoredTurns()
    await stored.take(answered("1", "uno"), input="one")
    for target in ("/v1/responses/msg_1", "/v1/conversations/resp_1"):
        with pytest.raises(BadRequest, match="not found"):
            await stored.call("GET", target)
    for member in ({"previous_response_id": "msg_1"}, {"conversation": "resp_1"}, {"conversation": "item\nmsg_1"}):
        with pytest.raises(BadRequest, match="not found"):
            await stored.turns.begin(exchange(), {"input": "two", **member})


async def test_what_belongs_to_a_provider_is_left_to_it() -> None:
    stored = StoredTurns()
    for method, target in (
        ("GET", "/v1/responses/resp_1"),
        ("POST", "/v1/conversations"),
        ("GET", "/v1/files/f"),
        ("POST", "/v1/responses"),
    ):
        assert await stored.calls.answer(exchange(method, target), alone=False) is None
