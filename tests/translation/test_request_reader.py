"""The request of a client in neutral form; what the Responses API continues is tested with `conversations.py`."""

from __future__ import annotations

import threading

import pytest

from llmproxy.body import Body
from llmproxy.errors import BadRequest
from llmproxy.stores.memory import MemoryResponses
from llmproxy.translation.conversation_store import ConversationStore
from llmproxy.translation.conversations import Conversations
from llmproxy.translation.request_reader import RequestReader, run_by_size
from tests.support.exchanges import new_exchange

ASK = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def new_reader() -> RequestReader:
    return RequestReader(Conversations(ConversationStore(MemoryResponses(1 << 20))))


@pytest.mark.parametrize("more", [{}, {"seed": 1}], ids=["read in one step", "read member by member"])
async def test_a_request_is_read_once_and_again_when_its_body_is_another(more: dict[str, object]) -> None:
    exchange, reader = new_exchange(body=ASK | more), new_reader()
    first, turn = await reader.read(exchange)
    assert (first.model, turn) == ("m", None) and (await reader.read(exchange))[0] is first
    exchange.body = Body(exchange.held.raw.replace(b'"Hi"', b'"Ho"'))
    again, _ = await reader.read(exchange)
    assert again is not first and again.messages != first.messages


async def test_model_and_stream_come_from_the_path_where_the_dialect_has_them_there() -> None:
    path = "/v1beta/models/gemini-3-pro:streamGenerateContent"
    exchange = new_exchange(path, body={"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]})
    exchange.model = "gemini-3-pro"
    request, _ = await new_reader().read(exchange)
    assert (request.model, request.stream) == ("gemini-3-pro", True)


async def test_what_continues_a_response_has_a_turn_and_names_its_fields_as_the_client_does() -> None:
    exchange = new_exchange("/v1/responses", body={"model": "m", "input": "Hi"})
    request, turn = await new_reader().read(exchange)
    assert turn is not None and turn.store and request.echo == {"previous_response_id": None}
    wrong = new_exchange("/v1/responses", body={"model": "m", "input": [{"role": "nobody", "content": "x"}]})
    with pytest.raises(BadRequest, match=r"input\[0\]"):
        await new_reader().read(wrong)


@pytest.mark.parametrize(("size_bytes", "here"), [(1000, True), (1_000_000, False)])
async def test_only_long_work_goes_to_a_thread(size_bytes: int, here: bool) -> None:
    thread = await run_by_size(size_bytes, lambda _: threading.current_thread(), None)
    assert (thread is threading.current_thread()) is here
