"""Messages as Bedrock accepts them."""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.converse.models import family_of
from llmproxy.dialects.converse.request_messages import encode_messages, encode_system
from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.model import Block, Instruction, Media, Message, Text, ToolResult

PDF = Media(kind="document", data="JVBERi0x", media_type="application/pdf", name="a")


def user(*content: Block) -> Message:
    return Message(path="m", role="user", content=list(content))


def written(*messages: Message, own: bool = False) -> Any:
    return encode_messages(messages, family_of("claude"), EncodeContext(losses=Losses(), own=own))


def test_messages_of_one_role_in_a_row_are_one() -> None:
    assistant = Message(role="assistant", content=[Text(text="b")])
    body = written(user(Text(text="a")), user(Text(text="b")), assistant, assistant, user(Text(text=" ")))
    assert body == [
        {"role": "user", "content": [{"text": "a"}, {"text": "b"}]},
        {"role": "assistant", "content": [{"text": "b"}, {"text": "b"}]},
    ]
    assert len(written(user(Text(text="a")), user(Text(text="b")), own=True)) == 2


def test_a_conversation_that_the_assistant_begins_has_a_message_of_the_user_before_it() -> None:
    greeting = Message(path="messages[0]", role="assistant", content=[Text(text="How can I help?")])
    losses = Losses()
    body = encode_messages([greeting, user(Text(text="a"))], family_of("claude"), EncodeContext(losses=losses))
    assert [each["role"] for each in body] == ["user", "assistant", "user"] and losses.dropped == ["messages[0]"]
    assert len(written(greeting, own=True)) == 1


def test_results_of_tools_come_first_each_with_its_cache_point() -> None:
    result = ToolResult(id="t", content=[Text(text="r")], cache={"type": "ephemeral"})
    [body] = written(user(Text(text="a", cache={"type": "ephemeral"})), user(result, Text(text="b")))
    assert [next(iter(block)) for block in body["content"]] == [
        "toolResult",
        "cachePoint",
        "text",
        "cachePoint",
        "text",
    ]


def test_a_document_has_a_text_beside_it_and_a_name_of_its_own() -> None:
    [body] = written(user(PDF, PDF))
    assert [block["document"]["name"] for block in body["content"][:2]] == ["a", "a 2"]
    assert body["content"][2] == {"text": "Document:"}
    [body] = written(user(PDF, Text(text="What is it?")))
    assert body["content"][1:] == [{"text": "What is it?"}]


def test_what_only_others_say_of_a_message_is_listed() -> None:
    losses = Losses()
    named = Message(path="messages[0]", role="user", content=[Text(text="a")], name="Ann", extra={"odd": 1})
    encode_messages([named], family_of("claude"), EncodeContext(losses=losses))
    assert losses.dropped == ["messages[0].name", "messages[0].odd"]


def test_the_system_prompt_is_a_list_of_texts() -> None:
    context = EncodeContext(losses=Losses())
    texts = [Instruction(content=[Text(text=text)]) for text in ("a", " ", "b")]
    assert encode_system(texts, family_of("claude"), context) == [{"text": "a"}, {"text": "b"}]
