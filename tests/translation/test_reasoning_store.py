"""Signed thinking is put back in front of the calls that it led to, for whom it belongs to."""

from __future__ import annotations

import pytest

from llmproxy.dialects.model import Block, Message, Request, Text, Thinking, ToolCall, ToolResult
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.memory import MemoryResponses
from llmproxy.translation.reasoning_store import ReasoningStore, lacks_reasoning, restore


def thought(text: str = "hm", signature: str | None = "sealed") -> Thinking:
    return Thinking(text=text, dialect="messages", signature=signature)


def call(identifier: str) -> ToolCall:
    return ToolCall(id=identifier, name="look", arguments="{}")


def turn(*blocks: Block) -> Message:
    return Message(role="assistant", content=list(blocks))


def asked(*messages: Message) -> Request:
    return Request(dialect="chat", model="m", messages=list(messages))


@pytest.fixture
def reasoning() -> ReasoningStore:
    return ReasoningStore(MemoryResponses(1 << 20))


async def restored(reasoning: ReasoningStore, *blocks: Block, identity: str = "t", to: str = "messages") -> list[Block]:
    """Return an assistant's message of these blocks as the provider gets it."""
    request = asked(turn(*blocks))
    restore(request, await reasoning.fetch(identity, to, request) or {})
    return request.messages[0].content


async def test_thinking_comes_back_where_it_stood(reasoning: ReasoningStore) -> None:
    first, second = thought("one"), thought("two")
    first.extra = {"big": 10**30, "none": None}
    await reasoning.keep("t", "messages", [first, Text(text="so"), call("a"), second, call("b")])
    expected = [first, Text(text="so"), call("a"), second, call("b")]
    assert await restored(reasoning, Text(text="so"), call("a"), call("b")) == expected


async def test_a_reply_that_began_with_text_comes_back_so(reasoning: ReasoningStore) -> None:
    await reasoning.keep("t", "messages", [Text(text="so"), thought(), call("a")])
    expected = [Text(text="so"), thought(), call("a")]
    assert await restored(reasoning, Text(text="so"), call("a")) == expected


async def test_each_of_two_replies_begins_with_its_own_thinking(reasoning: ReasoningStore) -> None:
    await reasoning.keep("t", "messages", [thought("one"), Text(text="x"), call("a")])
    await reasoning.keep("t", "messages", [thought("two"), Text(text="y"), call("b")])
    expected = [thought("one"), Text(text="x"), call("a"), thought("two"), Text(text="y"), call("b")]
    assert await restored(reasoning, Text(text="x"), call("a"), Text(text="y"), call("b")) == expected


async def test_thinking_that_is_the_same_in_two_replies_comes_back_twice(reasoning: ReasoningStore) -> None:
    await reasoning.keep("t", "messages", [thought(), call("a"), call("b")])
    await reasoning.keep("t", "messages", [thought(), call("c")])
    expected = [thought(), call("a"), call("b"), thought(), call("c")]
    assert await restored(reasoning, call("a"), call("b"), call("c")) == expected


async def test_text_that_is_no_unicode_comes_back(reasoning: ReasoningStore) -> None:
    await reasoning.keep("t", "messages", [thought("\ud800"), call("a")])
    assert await restored(reasoning, call("a")) == [thought("\ud800"), call("a")]


async def test_ids_of_any_form_are_kept_apart(reasoning: ReasoningStore) -> None:
    ids = ["a", "a b", "ä", "x" * 500, "x" * 501, ""]
    for identifier in ids:
        await reasoning.keep("t", "messages", [thought(identifier), call(identifier)])
    for identifier in ids:
        assert await restored(reasoning, call(identifier)) == [thought(identifier), call(identifier)]


async def test_a_signature_of_a_call_comes_back_with_it(reasoning: ReasoningStore) -> None:
    signed = ToolCall(id="a", name="look", arguments="{}", signature={"google": {"thought_signature": "s"}})
    await reasoning.keep("t", "chat", [signed, call("b")])
    shown = Thinking(text="one", dialect="messages")
    assert await restored(reasoning, shown, call("a"), call("b"), to="chat") == [shown, signed, call("b")]


async def test_what_the_client_made_of_it_gives_way(reasoning: ReasoningStore) -> None:
    await reasoning.keep("t", "messages", [thought("one"), call("a")])
    shown = Thinking(text="one", dialect="chat")
    assert await restored(reasoning, shown, call("a")) == [thought("one"), call("a")]


async def test_nobody_gets_the_thinking_of_another_identity_or_dialect(reasoning: ReasoningStore) -> None:
    await reasoning.keep("t", "messages", [thought(), call("a")])
    for identity, dialect, identifier in (("u", "messages", "a"), ("t", "responses", "a"), ("t", "messages", "b")):
        blocks = await restored(reasoning, call(identifier), identity=identity, to=dialect)
        assert blocks == [call(identifier)]


async def test_unsigned_thinking_and_that_of_others_is_not_kept(reasoning: ReasoningStore) -> None:
    other = Thinking(text="x", dialect="chat", signature="s")
    await reasoning.keep("t", "messages", [thought(signature=None), other, call("a")])
    assert await reasoning.fetch("t", "messages", asked(turn(call("a")))) == {}


class Gone(MemoryResponses):
    """A store that does not answer, and counts how often it is called."""

    calls = 0

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        self.calls += 1
        raise StoreFault("gone")

    async def get_many(self, keys: object) -> list[bytes | None]:
        self.calls += 1
        raise StoreFault("gone")


async def test_without_its_store_nothing_is_known_and_nothing_fails() -> None:
    store = Gone(1000)
    reasoning = ReasoningStore(store)
    await reasoning.keep("t", "messages", [thought(), call("a"), call("b")])
    assert await restored(reasoning, call("a")) == [call("a")] and store.calls == 2


async def test_the_store_is_left_alone_where_there_is_no_tool_call() -> None:
    store = Gone(1000)
    reasoning = ReasoningStore(store)
    await reasoning.keep("t", "messages", [thought(), Text(text="hi")])
    assert await restored(reasoning, thought(), Text(text="hi")) == [thought(), Text(text="hi")]
    assert store.calls == 0


async def test_what_cannot_be_read_back_is_not_known() -> None:
    store = MemoryResponses(1 << 20)
    reasoning = ReasoningStore(store)
    await reasoning.keep("t", "messages", [thought(), call("a")])
    [key] = store._values.values
    for rubbish in (b"", b"[1]", b'{"reply":1}', b"\xff"):
        await store.set(key, rubbish, 60.0)
        assert await restored(reasoning, call("a")) == [call("a")]


def test_a_turn_lacks_its_thoughts_only_while_it_goes_on() -> None:
    result = Message(role="user", content=[ToolResult(id="a", content=[Text(text="42")])])
    words = Message(role="user", content=[Text(text="and?")])
    assert lacks_reasoning(asked(words, turn(call("a")), result), "messages")
    assert not lacks_reasoning(asked(words, turn(thought(), call("a")), result), "messages")
    assert lacks_reasoning(asked(words, turn(thought(), call("a")), result), "responses")
    assert not lacks_reasoning(asked(words, turn(call("a")), result, turn(Text(text="it is 42")), words), "messages")
    assert not lacks_reasoning(asked(words), "messages")
