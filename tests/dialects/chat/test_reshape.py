from __future__ import annotations

import json
from typing import Any

from llmproxy.dialects.chat.reshape import CHAT_RESHAPE, COMPLETIONS_RESHAPE
from tests.support.sdk_streams import accumulate

CALLS = [
    {"id": f"c{number}", "type": "function", "function": {"name": "look", "arguments": '{"at": "sky"}'}}
    for number in (1, 2)
]
USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}


def reply(**message: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": None, **message}, "finish_reason": "stop"}
    return {"id": "c1", "object": "chat.completion", "created": 7, "model": "m", "choices": [choice], "usage": USAGE}


def streamed(value: dict[str, Any], *, usage: bool = True) -> list[Any]:
    """Return the chunks that tell a reply, without the last line."""
    stream = CHAT_RESHAPE.stream_of(json.dumps(value).encode(), usage=usage)
    assert stream is not None
    *frames, done = stream.decode().removesuffix("\n\n").split("\n\n")
    assert done == "data: [DONE]"
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


def test_every_chunk_is_of_the_same_answer() -> None:
    chunks = streamed(reply(content="Yes"))
    heads = [{name: chunk[name] for name in ("id", "object", "created", "model")} for chunk in chunks]
    assert heads == [{"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "m"}] * len(chunks)
    assert [chunk["usage"] for chunk in chunks] == [None] * (len(chunks) - 1) + [USAGE]


def test_a_stream_without_usage_tells_none() -> None:
    assert all("usage" not in chunk for chunk in streamed(reply(content="Yes"), usage=False))


def test_calls_are_numbered_and_keep_their_ids() -> None:
    chunks = streamed(reply(tool_calls=CALLS))
    actual = [call for chunk in chunks for choice in chunk["choices"] for call in choice["delta"].get("tool_calls", ())]
    assert actual == [{"index": number, **call} for number, call in enumerate(CALLS)]


def test_members_that_nobody_knows_come_through_both_ways() -> None:
    value = {**reply(content="Yes", novelty={"a": 1}, reasoning_content="hm"), "x_service": {"b": 2}}
    stream = CHAT_RESHAPE.stream_of(json.dumps(value).encode(), usage=True)
    assert stream is not None
    back = json.loads(CHAT_RESHAPE.reply_of(stream) or b"")
    assert back["x_service"] == {"b": 2}
    message = back["choices"][0]["message"]
    assert (message["novelty"], message["reasoning_content"]) == ({"a": 1}, "hm")


def test_a_usage_that_is_wanted_and_not_there_makes_no_stream() -> None:
    value = {name: each for name, each in reply(content="Yes").items() if name != "usage"}
    assert CHAT_RESHAPE.stream_of(json.dumps(value).encode(), usage=True) is None
    assert CHAT_RESHAPE.stream_of(json.dumps(value).encode(), usage=False) is not None


def test_the_sdk_reads_the_stream_as_the_reply() -> None:
    stream = CHAT_RESHAPE.stream_of(json.dumps(reply(content="Yes", tool_calls=CALLS)).encode(), usage=True)
    assert stream is not None
    actual = accumulate("chat", stream)["choices"][0]["message"]
    assert actual["content"] == "Yes" and [call["id"] for call in actual["tool_calls"]] == ["c1", "c2"]


def test_chunks_of_two_choices_may_take_turns() -> None:
    def chunk(index: int, text: str, end: str | None = None) -> bytes:
        choice = {"index": index, "delta": {"content": text}, "finish_reason": end}
        return b"data: %b\n\n" % json.dumps({"id": "c1", "choices": [choice]}).encode()

    usage = b"data: %b\n\ndata: [DONE]\n\n" % json.dumps({"id": "c1", "choices": [], "usage": USAGE}).encode()
    stream = chunk(0, "a") + chunk(1, "x") + chunk(0, "b", "stop") + chunk(1, "y", "length") + usage
    choices = json.loads(CHAT_RESHAPE.reply_of(stream) or b"")["choices"]
    said = [(each["index"], each["message"]["content"], each["finish_reason"]) for each in choices]
    assert said == [(0, "ab", "stop"), (1, "xy", "length")]


def test_a_text_completion_says_something_where_a_message_does_not() -> None:
    value = json.dumps({"choices": [{"index": 0, "text": "once"}]}).encode()
    assert COMPLETIONS_RESHAPE.says_something(value) and not CHAT_RESHAPE.says_something(value)
