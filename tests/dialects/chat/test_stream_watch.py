"""Streams of chat chunks, as services really send them."""

from __future__ import annotations

import json

import pytest

from llmproxy.dialects.chat import CODEC, COMPLETIONS, DIALECT
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage
from tests.support.sdk_clients import USAGE, openai_client, stream_frames

DONE = b"data: [DONE]\n\n"


def chunk(value: dict[str, object]) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def delta(**members: object) -> bytes:
    return chunk({"choices": [{"index": 0, "delta": members, "finish_reason": None}]})


def watched(*frames: bytes, text: bool = False) -> Summary:
    watch = DIALECT.readers.watch(text=text)
    for frame in frames:
        watch.feed(frame)
    return watch.close()


@pytest.mark.parametrize(
    "content",
    [
        {"content": "a"},
        {"reasoning_content": "a"},
        {"reasoning": "a"},
        {"refusal": "a"},
        {"tool_calls": [{"index": 0, "function": {"name": "f"}}]},
        {"function_call": {"name": "f"}},
        {"audio": {"id": "a"}},
    ],
    ids=str,
)
def test_a_stream_starts_with_its_first_content(content: dict[str, object]) -> None:
    watch = DIALECT.readers.watch()
    for frame in (
        b": PROCESSING\n\n",
        delta(role="assistant", content=""),
        delta(tool_calls=[]),
        chunk({"choices": []}),
    ):
        watch.feed(frame)
        assert not watch.started
    watch.feed(delta(**content))
    assert watch.started


def test_a_text_completion_starts_with_its_first_text() -> None:
    watch = COMPLETIONS.readers.watch()
    watch.feed(chunk({"choices": [{"text": ""}]}))
    assert not watch.started
    watch.feed(chunk({"choices": [{"text": "a"}]}))
    assert watch.started


def test_usage_comes_with_a_chunk_without_choices() -> None:
    counted = chunk({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}})
    frames = (delta(content="a"), delta(content="b"), counted, DONE)
    assert watched(*frames).usage == Usage(input=3, output=2)


@pytest.mark.parametrize(
    "last",
    [
        {"choices": [{"delta": {}, "finish_reason": "stop"}], "x_groq": {"id": "req_1", "usage": "USAGE"}},
        {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": None, "x_groq": {"usage": "USAGE"}},
        {"choices": [{"delta": {}, "finish_reason": "stop", "usage": "USAGE"}]},
        {"choices": [{"delta": {}, "finish_reason": "stop", "usage": "USAGE"}], "usage": None},
    ],
    ids=["Groq", "Groq, with a null", "in the choice", "in the choice, with a null"],
)
def test_usage_is_read_where_services_write_it_unasked(last: dict[str, object]) -> None:
    text = json.dumps(last).replace('"USAGE"', '{"queue_time": 0.1, "prompt_tokens": 3, "completion_tokens": 2}')
    first = chunk({"choices": [{"delta": {"content": "a"}}], "x_groq": {"id": "req_1"}})
    summary = watched(first, delta(content="b"), f"data: {text}\n\n".encode(), DONE)
    assert (summary.usage, summary.finish_reason) == (Usage(input=3, output=2), "stop")


def test_the_usual_usage_counts_before_that_of_a_service() -> None:
    both = {"usage": {"prompt_tokens": 3, "completion_tokens": 2}, "x_groq": {"usage": {"prompt_tokens": 9}}}
    assert watched(delta(content="a"), chunk({"choices": [], **both}), DONE).usage == Usage(input=3, output=2)
    later = chunk({"choices": [{"delta": {}, "finish_reason": "stop"}], "x_groq": {"id": "req_1"}})
    usual = chunk({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})
    assert watched(delta(content="a"), usual, later, DONE).usage == Usage(input=3, output=2)


def test_usage_split_over_reads_is_found() -> None:
    counted = chunk({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}})
    for at in range(1, len(counted)):
        assert watched(delta(content="a"), counted[:at], counted[at:] + DONE).usage == Usage(input=3, output=2)


def test_usage_in_every_chunk_counts_once_the_last_time() -> None:
    frames = [
        chunk({"choices": [{"delta": {"content": "a"}}], "usage": {"prompt_tokens": 3, "completion_tokens": n}})
        for n in range(5)
    ]
    assert watched(*frames).usage == Usage(input=3, output=4)


@pytest.mark.parametrize("null", ['"usage":null', '"usage": null', '"usage"\t:\tnull'])
def test_usage_null_says_nothing(null: str) -> None:
    frame = f'data: {{"choices":[{{"delta":{{}},"finish_reason":null}}],{null}}}\n\n'.encode()
    assert watched(delta(content="a"), frame) == watched(frame) == Summary()


@pytest.mark.parametrize("space", ["", " ", " \t "])
def test_a_finish_reason_is_found_with_any_white_space(space: str) -> None:
    frame = f'data: {{"choices":[{{"delta":{{}},"finish_reason"{space}:{space}"length"}}]}}\n\n'.encode()
    summary = watched(delta(content="a"), frame)
    assert (summary.finish_reason, summary.complete) == ("length", True)


def test_the_last_event_alone_completes_a_stream() -> None:
    assert watched(delta(content="a")).complete is False
    assert watched(delta(content="a"), DONE).complete is True
    assert watched(delta(content="[DONE]"), delta(content="data: [DONE]")).complete is False


@pytest.mark.parametrize("error", [{"message": "overloaded", "code": 502}, "overloaded"], ids=["an object", "a string"])
@pytest.mark.parametrize("event", [b"", b"event: error\n"])
def test_an_error_in_the_stream_is_recorded(error: object, event: bytes) -> None:
    for before in ((), (delta(content="a"),)):
        summary = watched(*before, event + chunk({"error": error}))
        assert (summary.error, summary.complete) == ("overloaded", False)


def test_an_error_beside_the_choices_is_recorded() -> None:
    ended = chunk({"choices": [{"delta": {}, "finish_reason": None}], "x_groq": {"error": "over capacity"}})
    assert watched(delta(content="a"), ended).error == "over capacity"


def test_text_is_that_of_the_first_choice() -> None:
    other = chunk({"choices": [{"index": 1, "delta": {"content": "no"}}]})
    assert watched(delta(content="a"), other, delta(content=None), delta(content="b"), DONE, text=True).text == "ab"


def test_the_sdk_reads_the_canned_stream() -> None:
    stream = openai_client(stream_frames(CODEC)).chat.completions.create(
        model="m", messages=[{"role": "user", "content": "Hi"}], stream=True
    )
    chunks = list(stream)
    assert [each.choices[0].delta.content for each in chunks if each.choices] == ["", "stub ", "response", None]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [each.choices[0].finish_reason for each in chunks if each.choices][-1] == "stop"
    assert chunks[-1].choices == [] and chunks[-1].usage is not None and chunks[-1].usage.total_tokens == 13
    assert {(each.id, each.model, each.created) for each in chunks} == {("chatcmpl-7", "stub-1", 1_700_000_000)}


def test_the_sdks_accumulated_stream_is_the_whole_reply() -> None:
    client = openai_client(stream_frames(CODEC))
    with client.chat.completions.stream(model="m", messages=[{"role": "user", "content": "Hi"}]) as stream:
        completion = stream.get_final_completion()
    assert completion.choices[0].message.content == "stub response"
    assert completion.usage is not None and completion.usage.prompt_tokens == 11


def test_usage_is_written_only_when_the_client_asks_for_it() -> None:
    frames = stream_frames(CODEC, include_usage=False)
    assert not any(b"usage" in frame for frame in frames)
    assert frames[-1].endswith(DONE)


def test_what_is_written_is_read_again() -> None:
    summary = Summary(model="stub-1", usage=USAGE, finish_reason="stop", text="stub response", complete=True)
    watch = DIALECT.readers.watch(text=True)
    for frame in stream_frames(CODEC):
        watch.feed(frame)
    assert watch.close() == summary
    assert b'"usage":null' in b"".join(stream_frames(CODEC, None))
