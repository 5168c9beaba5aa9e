from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.responses import Response

from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.model import Block, Citation, Media, Opaque, Refusal, Reply, StopReason, Text, Thinking, ToolCall
from llmproxy.dialects.responses import CODEC
from llmproxy.dialects.responses.response_encode import encode_error_code
from llmproxy.dialects.usage import Usage
from tests.support.full_responses_request import FULL, read

USAGE = Usage(input=10, output=5, cache_read=3)
CONTENT: list[Block] = [
    Thinking(text="hm", dialect="messages", signature="s"),
    Text(text="Hello", annotations=[Citation(url="https://h", title="t")]),
    Refusal(text="no"),
    ToolCall(id="c", name="f", arguments="{}"),
    ToolCall(id="d", name="g", arguments="x", custom=True),
    Text(text="more"),
]


def write(content: list[Block], stop: StopReason = "end", **changes: Any) -> tuple[dict[str, Any], list[str]]:
    losses = Losses()
    reply = Reply(id="chatcmpl-7", model="m-1", content=content, stop=stop, created_s=1, usage=USAGE, **changes)
    return CODEC.encode_response(reply, read(), CODEC.context(reply.dialect, losses)), losses.dropped


def test_what_is_written_is_a_response_of_the_sdk() -> None:
    body, dropped = write(CONTENT, "tool_calls")
    response = Response.model_validate(body)
    assert (response.id, response.status, response.output_text) == ("resp_7", "completed", "Hellomore")
    assert [item.type for item in response.output] == [
        *("reasoning", "message", "function_call", "custom_tool_call", "message"),
    ]
    assert len({item.id for item in response.output}) == 5
    assert response.usage is not None
    assert (response.usage.total_tokens, response.usage.input_tokens_details.cached_tokens) == (15, 3)
    assert dropped == []


def test_what_was_asked_is_repeated() -> None:
    reply = Reply(id="1", model="m", content=[], stop="end")
    body = CODEC.encode_response(reply, CODEC.decode_request(FULL), CODEC.context(reply.dialect, Losses()))
    assert body["instructions"] == "Be brief" and body["tools"] == FULL["tools"] and body["text"] == FULL["text"]
    assert body["previous_response_id"] == "resp_9" and body["usage"] is None


@pytest.mark.parametrize(
    ("stop", "status", "reason"),
    [
        ("end", "completed", None),
        ("tool_calls", "completed", None),
        ("refusal", "incomplete", "content_filter"),
        ("length", "incomplete", "max_output_tokens"),
        ("context_window", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
    ],
)
def test_why_it_stopped(stop: StopReason, status: str, reason: str | None) -> None:
    body, dropped = write([Text(text="x")], stop)
    assert body["status"] == status and dropped == []
    assert body["incomplete_details"] == ({"reason": reason} if reason else None)


def test_a_refusal_in_words_is_a_whole_response() -> None:
    body, _ = write([Refusal(text="No.")], "refusal")
    assert (body["status"], body["incomplete_details"], body["output"][0]["status"]) == ("completed", None, "completed")


def test_what_has_no_place_is_listed() -> None:
    content: list[Block] = [
        Opaque(dialect="messages", kind="server_tool_use", value={}),
        Media(kind="image", data="QQ=="),
        Text(text="x", annotations=[Citation()]),
    ]
    body, dropped = write(content, "pause", stop_sequence="y", service_tier="odd")
    assert len(body["output"]) == 1
    assert set(dropped) == {
        *("reply.server_tool_use", "reply.image", "reply.citation", "reply.stop.pause", "reply.stop_sequence"),
        "reply.service_tier",
    }


def test_ones_own_items_come_back_as_they_were() -> None:
    thought = Thinking(text="hm", dialect="responses", id="rs_1", encrypted="g=", summary=True)
    search = {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "query": "q"},
    }
    content: list[Block] = [thought, Opaque(dialect="responses", kind="web_search_call", value=search)]
    body, dropped = write(content)
    assert body["output"] == [
        {
            "id": "rs_1",
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": "g=",
        },
        search,
    ]
    assert dropped == []


def test_a_reply_of_this_api_comes_back_with_all_that_it_was() -> None:
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "phase": "final_answer",
        "content": [{"type": "output_text", "text": "a", "annotations": [], "logprobs": []}],
    }
    call = {
        "id": "fc_1",
        "type": "function_call",
        "call_id": "c",
        "name": "f",
        "arguments": "{}",
        "namespace": "n",
        "status": "completed",
    }
    used = {"web_search": {"num_requests": 1}}
    given = {
        "id": "resp_1",
        "model": "m",
        "status": "completed",
        "output": [message, message, call],
        "tool_usage": used,
    }
    reply, losses = CODEC.decode_response(json.dumps(given).encode()), Losses()
    body = CODEC.encode_response(reply, read(), CODEC.context(reply.dialect, losses))
    assert (body["output"], body["tool_usage"], losses.dropped) == ([message, message, call], used, [])


def test_what_only_the_providers_dialect_says_is_listed() -> None:
    content: list[Block] = [ToolCall(path="reply.tool", id="c", name="f", arguments="{}", extra={"toolset": "t"})]
    body, dropped = write(content, dialect="messages", path="reply", extra={"container": {}})
    assert "container" not in body and dropped == ["reply.tool.toolset", "reply.container"]


@pytest.mark.parametrize("stop", ["length", "content_filter", "context_window"])
def test_what_was_cut_short_says_so(stop: StopReason) -> None:
    body, _ = write([ToolCall(id="c", name="f", arguments="{}"), Text(text="an")], stop)
    assert [item["status"] for item in body["output"]] == ["completed", "incomplete"]
    Response.model_validate(body)


@pytest.mark.parametrize(
    ("code", "status", "actual"),
    [
        ("rate_limit_error", 429, "rate_limit_exceeded"),
        ("context_length_exceeded", 400, "context_length_exceeded"),
        ("invalid_request_error", 400, "invalid_prompt"),
        ("overloaded_error", 503, "server_error"),
    ],
)
def test_a_failed_response_bears_a_code_that_clients_know(code: str, status: int, actual: str) -> None:
    assert encode_error_code(code, status) == actual


def test_calls_of_one_id_are_told_apart() -> None:
    body, _ = write([ToolCall(id=name, name="f", arguments="{}") for name in ("c", "c_2", "c")])
    assert [call["call_id"] for call in body["output"]] == ["c", "c_2", "c_3"]
