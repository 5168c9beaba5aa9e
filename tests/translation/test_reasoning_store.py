"""Sealed thinking is put back in front of the calls that it led to, for whom it belongs to."""

from __future__ import annotations

from llmproxy.dialects.model import Block, Message, Request, Text, Thinking, ToolCall, ToolResult
from llmproxy.translation.reasoning_store import Thoughts, lacks_thoughts


def thought(text: str = "hm", signature: str | None = "sealed") -> Thinking:
    return Thinking(text=text, dialect="messages", signature=signature)


def call(identifier: str) -> ToolCall:
    return ToolCall(id=identifier, name="look", arguments="{}")


def turn(*blocks: Block) -> Message:
    return Message(role="assistant", content=list(blocks))


def asked(*messages: Message) -> Request:
    return Request(dialect="chat", model="m", messages=list(messages))


def test_thinking_comes_back_before_the_calls_that_followed_it() -> None:
    thoughts = Thoughts()
    first, second = thought("one"), thought("two")
    thoughts.keep("t", "messages", [first, Text(text="so"), call("a"), second, call("b")])
    request = asked(turn(Text(text="so"), call("a"), call("b")))
    thoughts.restore(request, "t", "messages")
    assert request.messages[0].content == [Text(text="so"), first, call("a"), second, call("b")]


def test_a_seal_of_a_call_comes_back_with_it() -> None:
    thoughts, seal = Thoughts(), {"google": {"thought_signature": "s"}}
    sealed = ToolCall(id="a", name="look", arguments="{}", signature=seal)
    thoughts.keep("t", "chat", [sealed, call("b")])
    shown = Thinking(text="one", dialect="messages")
    request = asked(turn(shown, call("a"), call("b")))
    thoughts.restore(request, "t", "chat")
    assert request.messages[0].content == [shown, sealed, call("b")]
    assert thoughts.size_bytes > len(str(seal))


def test_what_the_client_made_of_it_gives_way() -> None:
    thoughts = Thoughts()
    thoughts.keep("t", "messages", [thought("one"), call("a")])
    request = asked(turn(Thinking(text="one", dialect="chat"), call("a")))
    thoughts.restore(request, "t", "messages")
    assert request.messages[0].content == [thought("one"), call("a")]


def test_nobody_gets_the_thoughts_of_another_tenant_or_dialect() -> None:
    thoughts = Thoughts()
    thoughts.keep("t", "messages", [thought(), call("a")])
    for tenant, dialect, identifier in (("u", "messages", "a"), ("t", "responses", "a"), ("t", "messages", "b")):
        assert not thoughts.find(tenant, dialect, identifier)
    assert thoughts.find("t", "messages", "a") == [thought()]


def test_unsealed_thinking_and_that_of_others_is_not_kept() -> None:
    thoughts = Thoughts()
    thoughts.keep(
        "t", "messages", [thought(signature=None), Thinking(text="x", dialect="chat", signature="s"), call("a")]
    )
    assert not thoughts.find("t", "messages", "a")


def test_the_longest_unused_goes_first_and_the_size_stays_in_its_bound() -> None:
    thoughts = Thoughts(max_bytes=20_000)
    for number in range(100):
        thoughts.keep("t", "messages", [thought("x" * 1000), call(str(number))])
        assert thoughts.find("t", "messages", "0")
        assert thoughts.size_bytes <= 20_000
    assert not thoughts.find("t", "messages", "1")
    assert thoughts.find("t", "messages", "99")
    thoughts.keep("t", "messages", [thought("x" * 30_000), call("large")])
    assert not thoughts.find("t", "messages", "large")


def test_a_call_that_is_kept_again_counts_once() -> None:
    thoughts = Thoughts()
    thoughts.keep("t", "messages", [thought(), call("a")])
    size = thoughts.size_bytes
    thoughts.keep("t", "messages", [thought(), call("a")])
    assert thoughts.size_bytes == size


def test_a_turn_lacks_its_thoughts_only_while_it_goes_on() -> None:
    result = Message(role="user", content=[ToolResult(id="a", content=[Text(text="42")])])
    words = Message(role="user", content=[Text(text="and?")])
    assert lacks_thoughts(asked(words, turn(call("a")), result), "messages")
    assert not lacks_thoughts(asked(words, turn(thought(), call("a")), result), "messages")
    assert lacks_thoughts(asked(words, turn(thought(), call("a")), result), "responses")
    assert not lacks_thoughts(asked(words, turn(call("a")), result, turn(Text(text="it is 42")), words), "messages")
    assert not lacks_thoughts(asked(words), "messages")
