from __future__ import annotations

import re
from typing import Any

import pytest

from llmproxy.errors import BadRequest
from tests.support.stored_turns import StoredTurns, answered, exchange


async def test_an_earlier_response_is_continued_with_all_that_was_said() -> None:
    stored = StoredTurns()
    await stored.take(answered("1", "uno"), input="one")
    await stored.take(answered("2", "dos"), input="two", previous_response_id="resp_1")
    body, _ = await stored.turns.begin(
        exchange(), {"input": [{"role": "user", "content": "three"}], "previous_response_id": "resp_2"}
    )

    said = [
        item["content"] if isinstance(item["content"], str) else item["content"][0]["text"] for item in body["input"]
    ]
    assert said == ["one", "uno", "two", "dos", "three"]
    assert [item["role"] for item in body["input"]] == ["user", "assistant", "user", "assistant", "user"]


async def test_without_earlier_state_the_request_stays_as_it_is() -> None:
    request = {"input": "one", "model": "m"}
    body, _ = await StoredTurns().turns.begin(exchange(), request)
    assert body is request


async def test_what_should_not_be_stored_is_not() -> None:
    stored = StoredTurns()
    await stored.take(answered("1", "uno"), input="one", store=False)
    with pytest.raises(BadRequest, match="not found"):
        await stored.call("GET", "/v1/responses/resp_1")


async def test_another_tenant_sees_nothing_of_it() -> None:
    stored = StoredTurns()
    await stored.take(answered("1", "uno"), input="one")
    with pytest.raises(BadRequest) as refused:
        await stored.call("GET", "/v1/responses/resp_1", address="9.9.9.9")
    assert refused.value.status == 404
    with pytest.raises(BadRequest) as refused:
        await stored.turns.begin(exchange(address="9.9.9.9"), {"input": "two", "previous_response_id": "resp_1"})
    assert (refused.value.status, refused.value.code) == (404, "previous_response_not_found")


async def test_a_reference_to_what_was_answered_is_what_it_speaks_of() -> None:
    stored = StoredTurns()
    await stored.take(answered("1", "uno"), input="one")
    said = {"role": "user", "content": "two"}
    for reference in ({"type": "item_reference", "id": "msg_1"}, {"id": "msg_1"}):
        body, _ = await stored.turns.begin(exchange(), {"input": [reference, said]})
        assert body["input"] == [answered("1", "uno")["output"][0], said]

    await stored.call("DELETE", "/v1/responses/resp_1")
    for address in ("1.2.3.4", "9.9.9.9"):
        with pytest.raises(BadRequest, match="Item with id 'msg_1' not found") as refused:
            await stored.turns.begin(
                exchange(address=address), {"input": [said, {"type": "item_reference", "id": "msg_1"}]}
            )
        assert (refused.value.status, refused.value.param) == (404, "input[1].id")


async def test_thinking_that_was_only_shown_is_not_sent_again() -> None:
    stored = StoredTurns()
    shown: dict[str, Any] = {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
    sealed = shown | {"id": "rs_2", "encrypted_content": "g="}
    _, turn = await stored.turns.begin(exchange(), {"input": "one"})
    response = answered("1", "uno")
    await stored.turns.finish(turn, response | {"output": [shown, sealed, *response["output"]]})
    body, turn = await stored.turns.begin(exchange(), {"input": "two", "previous_response_id": "resp_1"})
    assert [item.get("id") for item in body["input"][1:3]] == ["rs_2", "msg_1"]
    assert turn.places.of("input[3].content[0].text") == "input"
    assert turn.places.of("input[1]") == "previous_response_id"


async def test_a_conversation_grows_with_each_turn() -> None:
    stored = StoredTurns()
    first = {"type": "message", "role": "developer", "content": "Be brief"}
    begun = await stored.call("POST", "/v1/conversations", body={"metadata": {"a": "b"}, "items": [first]})
    assert begun["object"] == "conversation" and begun["metadata"] == {"a": "b"}
    for given in (begun["id"], {"id": begun["id"]}):
        body = await stored.take(answered("1", "yes"), input="go on", conversation=given, store=False)
    assert [item["role"] for item in body["input"]] == ["developer", "user", "assistant", "user"]
    page = await stored.call("GET", f"/v1/conversations/{begun['id']}/items?order=asc")
    assert [item["role"] for item in page["data"]] == ["developer", "user", "assistant", "user", "assistant"]
    assert await stored.call("GET", f"/v1/conversations/{begun['id']}") == begun
    deleted = await stored.call("DELETE", f"/v1/conversations/{begun['id']}")
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
        await StoredTurns().turns.begin(exchange(), body)
    assert (refused.value.status, refused.value.param) == (status, param)


async def test_every_answer_gets_an_id_of_its_own() -> None:
    stored = StoredTurns()
    turns = [(await stored.turns.begin(exchange(), {"input": "one"}))[1] for _ in range(2)]
    assert all(re.fullmatch("resp_[0-9a-f]{48}", turn.response_id) for turn in turns)
    assert turns[0].response_id != turns[1].response_id
