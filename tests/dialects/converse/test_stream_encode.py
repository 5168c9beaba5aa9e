"""Streams for clients of ConverseStream, as botocore reads them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.dialects.converse import CODEC
from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.model import Block, Opaque, Reply, Request, Text, Thinking, ToolCall
from llmproxy.dialects.reply_events import collect, events_of
from llmproxy.dialects.stream_events import Close, Delta, Done, Event, Fail, Open, Start, Stop, UsageUpdate
from llmproxy.dialects.usage import Usage
from tests.support.converse_types import ConverseStreamError, accumulate_converse, converse_events

ASKED = Request(
    dialect="converse", model="m", stream=True, extra={"additionalModelResponseFieldPaths": ["/stop_sequence"]}
)
END: list[Event] = [Stop(reason="end"), UsageUpdate(usage=Usage(input=9, output=2, cache_read=4)), Done()]


def written(*events: Event, losses: Losses | None = None) -> bytes:
    return CODEC.stream_encoder(ASKED).encode([Start(id="x", model="m"), *events], losses or Losses())


def blocks(*content: Block) -> list[dict[str, Any]]:
    events = events_of(Reply(id="x", model="m", content=list(content), stop="end"))
    reply = accumulate_converse(CODEC.stream_encoder(ASKED).encode(events, Losses()))
    found: list[dict[str, Any]] = reply["output"]["message"]["content"]
    return found


def test_a_text_has_no_start_of_its_own() -> None:
    data = written(Open(index=0, block=Text(text="")), Delta(index=0, text="Hi"), Close(index=0), *END)
    assert [next(iter(event)) for event in converse_events(data)] == [
        *("messageStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata")
    ]
    assert accumulate_converse(data)["usage"] == {
        "inputTokens": 5,
        "outputTokens": 2,
        "totalTokens": 11,
        "cacheReadInputTokens": 4,
    }


def test_blocks_of_all_kinds_are_put_together_by_the_client() -> None:
    server = {"toolUse": {"toolUseId": "t", "name": "n", "input": {"a": 1}, "type": "server_tool_use"}}
    result = {"toolResult": {"toolUseId": "t", "content": [{"text": "r"}], "type": "x"}}
    assert blocks(
        Thinking(text="Hm", dialect="messages", signature="s"),
        Thinking(text="", dialect="messages", encrypted="AAAA", redacted=True),
        Text(text="Hi"),
        ToolCall(id="c", name="look", arguments='{"x": "y"}'),
        ToolCall(id="d", name="look", arguments=""),
        Opaque(dialect="converse", kind="server_tool_use", value=server),
        Opaque(dialect="converse", kind="x", value=result),
    ) == [
        {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "s"}}},
        {"reasoningContent": {"redactedContent": "AAAA"}},
        {"text": "Hi"},
        {"toolUse": {"toolUseId": "c", "name": "look", "input": {"x": "y"}}},
        {"toolUse": {"toolUseId": "d", "name": "look", "input": {}}},
        server,
        result,
    ]


def test_thinking_of_others_has_the_name_of_its_field_as_signature() -> None:
    [thinking] = blocks(Thinking(text="Hm", dialect="chat", field="reasoning"))
    assert thinking["reasoningContent"]["reasoningText"] == {"text": "Hm", "signature": "reasoning"}
    losses = Losses()
    written(Open(index=0, block=Thinking(text="", dialect="responses")), Close(index=0), losses=losses)
    assert losses.dropped == ["reply.thinking"]


@pytest.mark.parametrize("arguments", ["[1", "1 + 2"])
def test_arguments_that_are_no_object_are_kept_as_text(arguments: str) -> None:
    [call] = blocks(ToolCall(id="c", name="n", arguments=arguments))
    assert call["toolUse"]["input"] == {"_raw": arguments}
    [call] = blocks(ToolCall(id="c", name="n", arguments=arguments, custom=True))
    assert call["toolUse"]["input"] == {"input": arguments}


def test_the_end_says_why() -> None:
    encoder = CODEC.stream_encoder(ASKED)
    data = encoder.encode([Stop(reason="stop_sequence", sequence="E"), Done()], Losses())
    reply = accumulate_converse(data)
    assert (reply["stopReason"], encoder.finish_reason) == ("stop_sequence", "stop_sequence")
    assert reply["additionalModelResponseFields"] == {"stop_sequence": "E"}
    losses = Losses()
    written(Stop(reason="pause"), Done(), losses=losses)
    assert losses.dropped == ["reply.stop.pause"]


@pytest.mark.parametrize(("status", "name"), [(429, "throttlingException"), (529, "serviceUnavailableException")])
def test_a_failure_is_an_exception_that_botocore_raises(status: int, name: str) -> None:
    with pytest.raises(ConverseStreamError, match="No more") as raised:
        accumulate_converse(written(Fail(message="No more", status=status)))
    assert raised.value.code == name


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
CONTENT: Any = st.lists(
    st.builds(lambda text: Text(text=text), WORDS)
    | st.builds(lambda text: Thinking(text=text, dialect="messages", signature="s"), WORDS)
    | st.builds(lambda text: ToolCall(id="c", name="n", arguments=f'{{"a":{len(text)}}}'), WORDS),
    max_size=5,
)


@given(CONTENT)
def test_what_is_written_is_read_again(content: list[Block]) -> None:
    events = events_of(Reply(id="", model="", content=content, stop="end", usage=Usage(input=1, output=2)))
    data = CODEC.stream_encoder(ASKED).encode(events, Losses())
    accumulate_converse(data)
    decoder = CODEC.stream_decoder()
    reply = collect([*decoder.feed(data), *decoder.close()])
    assert isinstance(reply, Reply)
    assert [_said(block) for block in reply.content] == [_said(block) for block in content if _said(block)[1]]


def _said(block: Block) -> tuple[str, str]:
    if isinstance(block, ToolCall):
        return block.name, block.arguments
    assert isinstance(block, Text | Thinking)
    return (block.signature or "", block.text + "s") if isinstance(block, Thinking) else ("", block.text)
