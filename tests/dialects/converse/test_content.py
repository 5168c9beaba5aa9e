"""The blocks of a message, both ways."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.converse.content import decode_blocks, encode_blocks, encode_id
from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.model import (
    Block,
    Media,
    Opaque,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from llmproxy.errors import BadRequest, Untranslatable

CALL = {"toolUse": {"toolUseId": "t", "name": "look", "input": {"a": [1]}}}
RESULT = {
    "toolResult": {
        "toolUseId": "t",
        "content": [{"json": {"b": 2}}, {"text": "c"}, {"image": {"format": "png", "source": {"bytes": "AAAA"}}}],
        "status": "error",
    }
}
THOUGHT = {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "s"}}}
REDACTED = {"reasoningContent": {"redactedContent": "AAAA"}}
GUARDED = {"guardContent": {"text": {"text": "Hi", "qualifiers": ["query"]}}}
FOUND = {"searchResult": {"source": "https://x", "title": "X", "content": [{"text": "a"}]}}
SERVER = {"toolUse": {"toolUseId": "t", "name": "look", "input": {}, "type": "server_tool_use"}}
OWN = [{"text": "a"}, CALL, RESULT, THOUGHT, REDACTED, GUARDED, FOUND, SERVER, {"newBlock": {"x": 1}}]


def read(*blocks: Any) -> Any:
    return decode_blocks(list(blocks), "messages[0].content")


def written(*blocks: Block, own: bool = False, losses: Losses | None = None, status: bool = True) -> Any:
    return encode_blocks(blocks, EncodeContext(losses=losses or Losses(), own=own), caches=True, status=status)


def test_blocks_are_read() -> None:
    text, call, result, thought, redacted, guarded, found, server, new = read(*OWN)
    assert (text.text, call.id, call.name, call.arguments) == ("a", "t", "look", '{"a":[1]}')
    assert (result.id, result.error, [type(each) for each in result.content]) == ("t", True, [Text, Text, Media])
    assert result.content[0].text == '{"b":2}' and result.where("is_error").endswith("toolResult.status")
    assert (thought.text, thought.signature, redacted.encrypted, redacted.redacted) == ("Hm", "s", "AAAA", True)
    assert (guarded.words, found.words) == ("Hi", "X\nhttps://x\na")
    assert (server.kind, new.kind, new.words) == ("server_tool_use", "newBlock", None)


def test_blocks_go_back_as_they_stood() -> None:
    assert written(*read(*OWN), own=True) == OWN


@pytest.mark.parametrize(
    ("content", "path"),
    [
        (None, "messages[0].content"),
        ("Hi", "messages[0].content"),
        ([5], "messages[0].content[0]"),
        ([{}], "messages[0].content[0]"),
        ([{"text": 5}], "messages[0].content[0].text"),
        ([{"toolUse": {"name": "x"}}], "messages[0].content[0].toolUse.toolUseId"),
        ([{"toolResult": {"toolUseId": "t"}}], "messages[0].content[0].toolResult.content"),
        (
            [{"toolResult": {"toolUseId": "t", "content": [CALL]}}],
            "messages[0].content[0].toolResult.content[0].toolUse",
        ),
        ([{"image": {"format": "png"}}], "messages[0].content[0].image.source"),
        ([{"reasoningContent": {}}], "messages[0].content[0].reasoningContent.reasoningText"),
    ],
)
def test_what_is_wrong_is_named(content: Any, path: str) -> None:
    with pytest.raises(BadRequest) as refused:
        decode_blocks(content, "messages[0].content")
    assert path in refused.value.message


def test_blank_texts_are_left_out_as_the_vendor_refuses_them() -> None:
    assert written(Text(text=" \n"), Refusal(text=""), Text(text="a")) == [{"text": "a"}]


def test_thinking_goes_to_those_who_sealed_it() -> None:
    losses = Losses()
    sealed = Thinking(text="a", dialect="messages", signature="s")
    other = Thinking(path="p", text="b", dialect="chat", signature="s")
    bare = Thinking(path="q", text="c", dialect="messages")
    assert written(sealed, other, bare, losses=losses) == [
        {"reasoningContent": {"reasoningText": {"text": "a", "signature": "s"}}}
    ]
    assert losses.dropped == ["p", "q"]


def test_ids_that_the_vendor_refuses_are_replaced_always_by_the_same() -> None:
    assert encode_id("call:1.a-b_c") == "call:1.a-b_c"
    for bad in ("", "a b", "x" * 65, "ü"):
        assert encode_id(bad) == encode_id(bad) and encode_id(bad).startswith("tooluse_") and len(encode_id(bad)) == 32


def test_a_failed_call_says_so_and_never_nothing() -> None:
    failed = ToolResult(id="t", content=[], error=True)
    assert written(failed)[0]["toolResult"] == {
        "toolUseId": "t",
        "content": [{"text": "The tool failed."}],
        "status": "error",
    }
    assert "status" not in written(failed, status=False)[0]["toolResult"]


def test_arguments_must_be_an_object() -> None:
    assert written(ToolCall(id="t", name="n", arguments=""))[0]["toolUse"]["input"] == {}
    assert written(ToolCall(id="t", name="n", arguments="1 + 2", custom=True))[0]["toolUse"]["input"] == {
        "input": "1 + 2"
    }
    losses = Losses()
    assert written(ToolCall(path="p", id="t", name="n", arguments="[1]"), losses=losses)[0]["toolUse"]["input"] == {
        "_raw": "[1]"
    }
    assert list(losses.adapted) == ["p"]


def test_what_has_no_place_here_is_refused() -> None:
    with pytest.raises(Untranslatable, match="own API only"):
        written(Opaque(path="p", dialect="chat", kind="odd", value={}))
    sound = Media(path="p", kind="audio", data="AAAA", media_type="audio/mpeg")
    assert written(sound)[0]["audio"]["format"] == "mp3"
    with pytest.raises(Untranslatable, match="result of a tool"):
        written(ToolResult(id="t", content=[sound]))
