"""Streams of chunks, written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

from llmproxy.dialects.chat.request_decode import decode_request
from llmproxy.dialects.chat.stream_decode import ChatStreamDecoder
from llmproxy.dialects.chat.stream_encode import ChatStreamEncoder
from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.model import Block, Citation, Media, Opaque, Refusal, Reply, StopReason, Text, Thinking, ToolCall
from llmproxy.dialects.reply_events import collect, events_of
from llmproxy.dialects.stream_events import Cite, Close, Delta, Done, Event, Fail, Lost, Open, Start, Stop
from llmproxy.dialects.usage import Usage
from tests.support.sdk_clients import openai_client

MESSAGES: Any = [{"role": "user", "content": "Hi"}]
START = Start(id="msg_1", model="m", created_s=7)


def written(events: Sequence[Event], *, usage: bool = False, **members: Any) -> tuple[bytes, list[str]]:
    options = {"stream_options": {"include_usage": True}} if usage else {}
    writer = ChatStreamEncoder(
        decode_request({"model": "asked", "messages": MESSAGES, "stream": True, **options, **members})
    )
    losses = Losses()
    return b"".join(writer.encode([event], losses) for event in events), losses.dropped


def chunks(data: bytes) -> list[dict[str, Any]]:
    """Return the chunks, each as the SDK parses it, strictly, and without its head."""
    frames = [each.removeprefix(b"data: ") for each in data.split(b"\n\n")]
    assert frames[-2:] == [b"[DONE]", b""]
    parsed = [json.loads(each) for each in frames[:-2]]
    for each in parsed:
        ChatCompletionChunk.model_validate(each)
        head = (each.pop("id"), each.pop("object"), each.pop("created"), each.pop("model"))
        assert head == ("chatcmpl-1", "chat.completion.chunk", 7, "m")
    return parsed


def deltas(data: bytes) -> list[dict[str, Any]]:
    return [each["choices"][0]["delta"] for each in chunks(data) if each["choices"]]


def events_for(*content: Block, stop: StopReason = "end", usage: Usage | None = None) -> list[Event]:
    return events_of(Reply(id="msg_1", model="m", created_s=7, content=list(content), stop=stop, usage=usage))


def test_a_plain_answer() -> None:
    data, dropped = written([START, *events_for(Text(text="a"))[1:]])
    role = {"role": "assistant", "content": "", "refusal": None}
    assert chunks(data) == [
        {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]}
        for delta, reason in ((role, None), ({"content": "a"}, None), ({}, "stop"))
    ]
    assert dropped == []


def test_usage_comes_last_and_only_to_who_asked() -> None:
    events = events_for(Text(text="a"), usage=Usage(input=3, output=2))
    assert b"usage" not in written(events)[0]
    parsed = chunks(written(events, usage=True)[0])
    assert [each["usage"] for each in parsed[:-1]] == [None] * 3
    assert parsed[-1] == {
        "choices": [],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }
    assert chunks(written(events_for(Text(text="a")), usage=True)[0])[-1] == {"choices": [], "usage": None}


def test_interleaved_calls_are_numbered_from_0() -> None:
    events: list[Event] = [
        START,
        Open(index=0, block=Text(text="")),
        Delta(index=0, text="a"),
        Close(index=0),
        Open(index=1, block=ToolCall(id="c1", name="f", arguments="")),
        Open(index=2, block=ToolCall(id="c2", name="g", arguments="", custom=True)),
        Delta(index=2, text="x"),
        Delta(index=1, text="{}"),
        Close(index=2),
        Close(index=1),
        Stop(reason="tool_calls"),
        Done(),
    ]
    data, _ = written(events)
    frames = [json.loads(each.removeprefix(b"data: ")) for each in data.split(b"\n\n")[:-2]]
    calls = [each["choices"][0]["delta"].get("tool_calls") for each in frames]
    assert [each[0] for each in calls if each] == [
        {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"index": 1, "id": "c2", "type": "custom", "custom": {"name": "g", "input": ""}},
        {"index": 1, "custom": {"input": "x"}},
        {"index": 0, "function": {"arguments": "{}"}},
    ]
    assert frames[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_legacy_client_gets_one_function_call() -> None:
    calls = (ToolCall(id="c1", name="f", arguments="{}"), ToolCall(id="c2", name="g", arguments="{}"))
    data, dropped = written(events_for(*calls, stop="tool_calls"), functions=[{"name": "f"}])
    assert deltas(data)[1:] == [
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": "{}"}},
        {},
    ]
    assert chunks(data)[-1]["choices"][0]["finish_reason"] == "function_call"
    assert dropped == ["reply.tool_call"]


def test_thinking_is_shown_and_hidden_thinking_is_listed() -> None:
    thoughts = (Thinking(text="t", dialect="x"), Thinking(text="u", dialect="x"))
    hidden = Thinking(text="", dialect="x", encrypted="zzz", redacted=True)
    data, dropped = written(events_for(*thoughts, hidden, Text(text="a")))
    assert "".join(each.get("reasoning_content", "") for each in deltas(data)) == "t\n\nu"
    assert dropped == ["reply.thinking"]


def test_a_refusal_ends_like_others() -> None:
    data, _ = written(events_for(Refusal(text="No"), stop="refusal"))
    assert deltas(data)[1] == {"refusal": "No"}
    assert chunks(data)[-1]["choices"][0]["finish_reason"] == "stop"
    assert chunks(written(events_for(stop="refusal"))[0])[-1]["choices"][0]["finish_reason"] == "content_filter"


def test_citations_come_when_their_text_is_whole() -> None:
    events: list[Event] = [
        START,
        Open(index=0, block=Text(text="")),
        Delta(index=0, text="abc"),
        Close(index=0),
        Open(index=1, block=Text(text="")),
        Cite(index=1, citation=Citation(url="https://x", title="X")),
        Cite(index=1, citation=Citation(quote="q")),
        Delta(index=1, text="de"),
        Close(index=1),
        Stop(reason="end"),
        Done(),
    ]
    data, dropped = written(events)
    link = {"url": "https://x", "title": "X", "start_index": 3, "end_index": 5}
    assert deltas(data)[-2] == {"annotations": [{"type": "url_citation", "url_citation": link}]}
    assert dropped == ["reply.citation"]


def test_citations_of_several_texts_come_at_once_as_the_sdk_wants_them() -> None:
    cited = [Text(text="ab", annotations=[Citation(url=f"https://{name}")]) for name in "xy"]
    data, _ = written(events_for(*cited))
    with openai_client([data]).chat.completions.stream(model="m", messages=MESSAGES) as events:
        message: Any = [*events] and events.get_final_completion().choices[0].message
    found = [(each.url_citation.url, each.url_citation.start_index) for each in message.annotations]
    assert found == [("https://x", 0), ("https://y", 2)]


def test_probabilities_come_with_their_text() -> None:
    likely = [{"token": "a", "logprob": -1.0, "bytes": None, "top_logprobs": []}]
    data, _ = written(events_for(Text(text="a", logprobs=likely)))
    assert chunks(data)[1]["choices"][0]["logprobs"] == {"content": likely, "refusal": None}


def test_blocks_without_a_place_are_listed_with_what_they_hold() -> None:
    events: list[Event] = [
        START,
        Open(index=0, block=Opaque(dialect="x", kind="web_search", value={})),
        Delta(index=0, text="zzz"),
        Close(index=0),
        Open(index=1, block=Media(kind="image", data="AA==")),
        Close(index=1),
        Lost(what="container"),
        Stop(reason="stop_sequence", sequence="END"),
        Done(),
    ]
    data, dropped = written(events)
    assert b"zzz" not in data
    assert dropped == ["reply.web_search", "reply.image", "reply.container", "reply.stop_sequence"]


@pytest.mark.parametrize("before", [[], [START]], ids=["first", "mid-stream"])
def test_a_failure_is_an_error_and_nothing_after(before: list[Event]) -> None:
    data, _ = written([*before, Fail(message="Slow down", code="rate_limit_error", status=429)])
    error = {"message": "Slow down", "type": "rate_limit_error", "param": None, "code": "rate_limit_error"}
    assert json.loads(data.split(b"\n\n")[-2].removeprefix(b"data: ")) == {"error": error}
    assert b"[DONE]" not in data


def test_text_that_is_no_unicode_is_replaced() -> None:
    data, _ = written(events_for(Text(text='\ud800\x00\u2028\n\n"')))
    assert deltas(data)[1] == {"content": '\ufffd\x00\u2028\n\n"'}


def test_the_sdk_puts_the_stream_together() -> None:
    call = ToolCall(id="c1", name="f", arguments='{"a":1}')
    other = ToolCall(id="c2", name="g", arguments="{}")
    usage = Usage(input=3, output=2)
    data, _ = written(events_for(Text(text="ab"), call, other, stop="tool_calls", usage=usage), usage=True)
    with openai_client([data]).chat.completions.stream(model="m", messages=MESSAGES) as stream:
        completion = stream.get_final_completion()
    message = completion.choices[0].message
    assert message.content == "ab" and message.tool_calls is not None
    assert [(each.id, each.function.arguments) for each in message.tool_calls] == [("c1", '{"a":1}'), ("c2", "{}")]
    assert completion.usage is not None and completion.usage.total_tokens == 5


_BLOCKS: Any = st.one_of(
    st.builds(Text, text=st.text(min_size=1)),
    st.builds(Thinking, text=st.text(min_size=1), dialect=st.just("chat")),
    st.builds(ToolCall, id=st.uuids().map(str), name=st.just("f"), arguments=st.just('{"a":1}'), custom=st.booleans()),
)


@given(st.lists(_BLOCKS, max_size=5))
def test_what_is_written_is_read_again(content: list[Block]) -> None:
    data, _ = written(events_for(*content))
    reader = ChatStreamDecoder()
    reply = collect([*reader.feed(data), *reader.close()])
    assert isinstance(reply, Reply)
    for kind in (Text, Refusal):
        assert _joined(reply.content, kind) == _joined(content, kind)
    assert [block for block in reply.content if isinstance(block, ToolCall)] == [
        block for block in content if isinstance(block, ToolCall)
    ]


def _joined(content: list[Block], kind: type[Text] | type[Refusal]) -> str:
    return "".join(block.text for block in content if isinstance(block, kind))
