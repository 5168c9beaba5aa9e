"""Whole chat completions, written."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from llmproxy.dialects.chat.request_decode import decode_request
from llmproxy.dialects.chat.response_decode import decode_response
from llmproxy.dialects.chat.response_encode import encode_response
from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.model import Block, Citation, Media, Opaque, Refusal, Reply, StopReason, Text, Thinking, ToolCall
from llmproxy.dialects.usage import Usage
from llmproxy.wire.json import write_value

REQUEST = decode_request({"model": "asked", "messages": []})
LEGACY = decode_request({"model": "asked", "messages": [], "functions": [{"name": "f"}]})


def written(*content: Block, stop: StopReason = "end", request: Any = REQUEST, **members: Any) -> tuple[Any, list[str]]:
    """Return the completion as the SDK parses it, strictly, and the losses."""
    losses = Losses()
    reply = Reply(**{"id": "msg_1", "model": "m", "created_s": 7, **members}, content=list(content), stop=stop)
    return ChatCompletion.model_validate(
        encode_response(reply, request, EncodeContext(losses=losses, own=reply.dialect == "chat"))
    ), losses.dropped


def message(*content: Block, **members: Any) -> Any:
    return written(*content, **members)[0].choices[0].message


def test_a_plain_answer() -> None:
    usage = Usage(input=9, output=4, cache_read=5, cache_write=1, reasoning=2)
    completion, dropped = written(Text(text="a"), Text(text="b"), usage=usage)
    assert completion.to_dict() == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "ab", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 9,
            "completion_tokens": 4,
            "total_tokens": 13,
            "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 1},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
    }
    assert dropped == []


def test_what_nobody_said_is_left_out_or_taken_from_the_request() -> None:
    completion, _ = written(Text(text="a"), model="", created_s=None)
    assert completion.model == "asked" and completion.usage is None and completion.created > 1_700_000_000
    assert written(Text(text="a"), usage=Usage(output=3))[0].usage is None


@pytest.mark.parametrize("given", ["msg_7", "resp_7", "chatcmpl-7", "7"])
def test_ids_get_the_prefix_of_chat(given: str) -> None:
    assert written(Text(text="a"), id=given)[0].id == "chatcmpl-7"


def test_calls_are_written_and_content_is_null() -> None:
    calls = (ToolCall(id="c1", name="f", arguments="{}"), ToolCall(id="c2", name="g", arguments="x", custom=True))
    completion, _ = written(*calls, stop="tool_calls")
    assert [call.to_dict() for call in completion.choices[0].message.tool_calls] == [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "x"}},
    ]
    assert (completion.choices[0].message.content, completion.choices[0].finish_reason) == (None, "tool_calls")


def test_a_legacy_client_gets_one_function_call() -> None:
    calls = (ToolCall(id="c1", name="f", arguments="{}"), ToolCall(id="c2", name="g", arguments="{}"))
    completion, dropped = written(*calls, stop="tool_calls", request=LEGACY)
    answer = completion.choices[0]
    assert (answer.message.function_call.name, answer.message.tool_calls) == ("f", None)
    assert (answer.finish_reason, dropped) == ("function_call", ["reply.tool_call"])


def test_thinking_is_shown_and_hidden_thinking_is_listed() -> None:
    thoughts = (Thinking(text="t", dialect="x"), Thinking(text="u", dialect="x"))
    assert message(*thoughts, Text(text="a")).reasoning_content == "t\n\nu"
    hidden = Thinking(text="", dialect="x", encrypted="zzz", redacted=True)
    assert written(hidden, Text(text="a"))[1] == ["reply.thinking"]


def test_a_refusal_in_words_is_an_end_and_one_without_is_a_filter() -> None:
    completion, _ = written(Refusal(text="No"), stop="refusal")
    answer = completion.choices[0]
    assert (answer.message.refusal, answer.message.content, answer.finish_reason) == ("No", None, "stop")
    assert written(stop="refusal")[0].choices[0].finish_reason == "content_filter"


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        ("end", "stop"),
        ("length", "length"),
        ("stop_sequence", "stop"),
        ("content_filter", "content_filter"),
        ("pause", "stop"),
        ("context_window", "length"),
    ],
)
def test_stop_reasons(stop: StopReason, reason: str) -> None:
    assert written(Text(text="a"), stop=stop)[0].choices[0].finish_reason == reason


def test_what_a_finish_reason_cannot_say_is_listed() -> None:
    assert written(stop="stop_sequence", stop_sequence="END")[1] == ["reply.stop_sequence"]
    assert written(stop="pause")[1] == ["reply.stop.pause"]


def test_links_are_counted_from_the_start_of_the_whole_text() -> None:
    second = Text(
        text="cited",
        annotations=[Citation(url="https://x", title="X"), Citation(url="https://y", start=1, end=2)],
    )
    annotations = message(Text(text="abc"), second).annotations
    assert [(each.url_citation.url, each.url_citation.title) for each in annotations] == [
        ("https://x", "X"),
        ("https://y", ""),
    ]
    assert [(each.url_citation.start_index, each.url_citation.end_index) for each in annotations] == [(3, 8), (4, 5)]


def test_citations_that_are_no_links_are_listed() -> None:
    text = Text(text="a", annotations=[Citation(title="Book", quote="q"), Citation(url="https://x", quote="q")])
    assert written(text)[1] == ["reply.citation", "reply.citation.quote"]


def test_probabilities_are_those_of_all_texts() -> None:
    likely = [{"token": "a", "logprob": -1.0, "bytes": None, "top_logprobs": []}]
    completion, _ = written(Text(text="a", logprobs=likely), Text(text="b", logprobs=likely))
    assert len(completion.choices[0].logprobs.content) == 2


def test_blocks_without_a_place_are_listed() -> None:
    other = Opaque(dialect="x", kind="web_search_result", value={})
    _, dropped = written(Text(text="a"), other, Media(kind="image", data="AA=="))
    assert dropped == ["reply.web_search_result", "reply.image"]


@pytest.mark.parametrize(("tier", "shown"), [("standard", "default"), ("priority", "priority"), ("batch", None)])
def test_the_service_tier_is_told_in_words_of_chat(tier: str, shown: str | None) -> None:
    completion, dropped = written(Text(text="a"), service_tier=tier)
    assert completion.service_tier == shown
    assert dropped == ([] if shown else ["reply.service_tier"])


def test_extra_members_of_another_dialect_are_listed() -> None:
    _, dropped = written(Text(text="a"), path="reply", dialect="x", extra={"container": {}})
    assert dropped == ["reply.container"]


def test_what_chat_said_is_written_as_it_stood() -> None:
    said: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": None,
                    "refusal": None,
                    "reasoning_content": "t",
                    "audio": {"id": "a1", "data": "AA==", "expires_at": 9, "transcript": "t"},
                    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                    "mood": "good",
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            },
            {"index": 1, "message": {"role": "assistant", "content": "b"}, "logprobs": None, "finish_reason": "stop"},
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
        "service_tier": "default",
        "moderation": {"input": {}},
    }
    losses = Losses()
    assert encode_response(decode_response(write_value(said)), REQUEST, EncodeContext(losses=losses, own=True)) == said
    assert losses.dropped == []
