"""What the Responses API remembers, over providers that remember nothing: the official client and the program."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.responses import Response

from tests.support.program import Program
from tests.support.provider import Upstream
from tests.support.vendors import TEXT

MODELS = ("on-chat/claude-test", "on-messages/claude-test")


@pytest.fixture(scope="module")
def program(lasting_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    config = f"""
providers:
  - {{name: on-chat, type: openai-compatible, base_url: "{lasting_upstream.url}/v1", dialects: [chat]}}
  - {{name: on-messages, type: anthropic, base_url: "{lasting_upstream.url}", api_key: sk-ant-up}}
"""
    with Program(tmp_path_factory.mktemp("state"), "serve", config=config) as program:
        yield program


@pytest.fixture
def client(program: Program) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{program.url}/v1", api_key="dummy", max_retries=0) as client:
        yield client


def said(upstream: Upstream) -> list[tuple[str, str]]:
    """Role and text of each message that the provider was sent."""
    messages = json.loads(upstream.requests[-1].body)["messages"]
    return [(message["role"], _text(message["content"])) for message in messages]


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


@pytest.mark.ledger("H4")
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_a_response_is_continued_shown_and_deleted(
    client: openai.OpenAI, upstream: Upstream, model: str, stream: bool
) -> None:
    first: Response
    if stream:
        with client.responses.stream(model=model, input="one") as events:
            first = events.until_done().get_final_response()
    else:
        first = client.responses.create(model=model, input="one")
    assert client.responses.retrieve(first.id).output_text == TEXT

    client.responses.create(model=model, input="two", previous_response_id=first.id, store=False)
    assert said(upstream) == [("user", "one"), ("assistant", TEXT), ("user", "two")]

    [item] = client.responses.input_items.list(first.id).data
    assert item.type == "message" and item.id
    with pytest.raises(openai.BadRequestError, match="background"):
        client.responses.cancel(first.id)
    client.responses.delete(first.id)
    for gone in (client.responses.retrieve, client.responses.delete, client.responses.input_items.list):
        with pytest.raises(openai.NotFoundError, match=first.id):
            gone(first.id)
    with pytest.raises(openai.NotFoundError) as unknown:
        client.responses.create(model=model, input="three", previous_response_id=first.id)
    assert (unknown.value.code, unknown.value.param) == ("previous_response_not_found", "previous_response_id")


@pytest.mark.parametrize("model", MODELS)
def test_what_was_answered_is_spoken_of_by_its_id(client: openai.OpenAI, upstream: Upstream, model: str) -> None:
    first = client.responses.create(model=model, input="one")
    reference: Any = {"type": "item_reference", "id": first.output[-1].id}
    client.responses.create(model=model, input=[reference, {"role": "user", "content": "two"}])
    assert said(upstream) == [("assistant", TEXT), ("user", "two")]


@pytest.mark.parametrize("model", MODELS)
def test_a_conversation_grows(client: openai.OpenAI, upstream: Upstream, model: str) -> None:
    conversation = client.conversations.create(items=[{"role": "user", "content": "zero"}])
    for words in ("one", "two"):
        response = client.responses.create(model=model, input=words, conversation=conversation.id)
        assert response.conversation is not None and response.conversation.id == conversation.id
    assert [text for role, text in said(upstream) if role == "user"] == ["zero", "one", "two"]


def test_a_conversation_is_changed_item_by_item(client: openai.OpenAI, upstream: Upstream) -> None:
    name = client.conversations.create(items=[{"role": "user", "content": word} for word in ("zero", "one")]).id
    assert client.conversations.update(name, metadata={"a": "b"}).metadata == {"a": "b"}
    first, second = client.conversations.items.list(name, order="asc")
    assert client.conversations.items.retrieve(str(first.id), conversation_id=name) == first
    left = client.conversations.items.delete(str(first.id), conversation_id=name)
    assert (left.id, left.metadata) == (name, {"a": "b"})
    assert [item.id for item in client.conversations.items.list(name)] == [second.id]
    with pytest.raises(openai.NotFoundError, match="Item"):
        client.conversations.items.retrieve(str(first.id), conversation_id=name)
    client.responses.create(model=MODELS[0], input="two", conversation=name)
    assert [text for role, text in said(upstream) if role == "user"] == ["one", "two"]


@pytest.mark.parametrize("model", MODELS)
def test_places_are_those_of_the_clients_own_input(client: openai.OpenAI, model: str) -> None:
    first = client.responses.create(model=model, input="one")
    wrong: Any = [{"role": "user", "content": "two"}, {"role": "user", "content": [{"type": "input_text"}]}]
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model=model, input=wrong, previous_response_id=first.id)
    assert refused.value.param == "input[1].content[0].text"
    sealed: Any = [{"role": "user", "content": "two"}, {"type": "compaction", "encrypted_content": "gAAAA"}]
    with pytest.raises(openai.BadRequestError, match="compaction") as refused:
        client.responses.create(model=model, input=sealed, previous_response_id=first.id)
    assert refused.value.param == "input[1]"


@pytest.mark.parametrize("model", MODELS)
def test_running_in_the_background_is_refused_with_the_reason(client: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.BadRequestError, match="no Responses API of its own") as refused:
        client.responses.create(model=model, input="one", background=True)
    assert refused.value.param == "background"
