"""Free-form tools of which a provider's dialect has none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmproxy.dialects.catalog import codecs
from llmproxy.dialects.custom_tools import CustomCalls
from llmproxy.dialects.encode_context import Options
from llmproxy.dialects.model import Request, Text, Tool, ToolCall
from llmproxy.dialects.stream_events import Close, Delta, Event, Open
from llmproxy.translation.translation import Translation, read_request
from llmproxy.wire.sse import Splitter
from tests.support import vendors

REQUEST = Request(dialect="chat", model="m", tools=[Tool(name="patch", custom=True), Tool(name="look", schema={})])
LOOK = ToolCall(id="b", name="look", arguments='{"input":"x"}')


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"input":"*** Begin"}', "*** Begin"),
        ('{"other":1}', '{"other":1}'),
        ("oops", "oops"),
        ('{"input":5}', '{"input":5}'),
    ],
)
def test_a_call_is_turned_back_into_its_text(arguments: str, text: str) -> None:
    call = ToolCall(id="a", name="patch", arguments=arguments)
    actual = ToolCall(id="a", name="patch", arguments=text, custom=True)
    assert CustomCalls(REQUEST).restore([call, LOOK, Text(text="a")]) == [actual, LOOK, Text(text="a")]


def test_a_call_that_is_custom_already_stays() -> None:
    call = ToolCall(id="a", name="patch", arguments='{"input":"x"}', custom=True)
    assert CustomCalls(REQUEST).restore([call]) == [call]


def test_in_a_stream_its_text_is_told_when_it_is_whole() -> None:
    unwrapping = CustomCalls(REQUEST)
    other: list[Event] = [Open(index=1, block=LOOK), Delta(index=1, text="x"), Close(index=1)]
    events = [
        Open(index=0, block=ToolCall(id="a", name="patch", arguments='{"inp')),
        *other,
        Delta(index=0, text='ut":"*** Be'),
        Delta(index=0, text='gin"}'),
        Close(index=0),
    ]
    assert [actual for event in events for actual in unwrapping.restore_event(event)] == [
        Open(index=0, block=ToolCall(id="a", name="patch", arguments="", custom=True)),
        *other,
        Delta(index=0, text="*** Begin"),
        Close(index=0),
    ]


BODY: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": "Fix it."}],
    "tools": [{"type": "custom", "custom": {"name": "patch", "description": "Patches."}}],
}
USE = {"type": "tool_use", "id": "toolu_1", "name": "patch", "input": {"input": "*** Begin"}}
ANSWER = vendors.message("m") | {"content": [USE], "stop_reason": "tool_use"}


def translation() -> Translation:
    return Translation(
        read_request(codecs()["chat"], json.dumps(BODY).encode()),
        codecs()["chat"],
        codecs()["messages"],
        options=Options(custom_tools=True),
        strict=True,
    )


def test_a_client_gets_the_custom_call_that_it_knows() -> None:
    asked = translation()
    tool = json.loads(asked.request("claude"))["tools"][0]
    assert tool["name"] == "patch" and tool["input_schema"]["required"] == ["input"]
    reply = json.loads(asked.reply(json.dumps(ANSWER).encode()))
    call = {"id": "toolu_1", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}}
    assert reply["choices"][0]["message"]["tool_calls"] == [call]


def test_so_does_a_client_that_streams() -> None:
    data = translation().reply_as_stream(json.dumps(ANSWER).encode())
    chunks = [json.loads(frame.data) for frame in Splitter().feed(data) if frame.data != b"[DONE]"]
    calls = [call for chunk in chunks for choice in chunk["choices"] for call in choice["delta"].get("tool_calls", [])]
    assert "".join(call["custom"].get("input", "") for call in calls) == "*** Begin"
