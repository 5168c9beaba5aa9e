from __future__ import annotations

from typing import Any

import pytest
from openai.types.responses import Response

from llmproxy.dialects.base import Usage
from llmproxy.dialects.codec import Losses
from llmproxy.dialects.model import (
    Block,
    Citation,
    Foreign,
    Media,
    Refusal,
    Reply,
    StopReason,
    Text,
    Thinking,
    ToolCall,
)
from llmproxy.dialects.responses.codec import CODEC
from tests.dialects.responses.requests import FULL, read

USAGE = Usage(input=10, output=5, cache_read=3)
CONTENT: list[Block] = [
    Thinking(text="hm", dialect="messages", signature="s"),
    Text(text="Hello", annotations=[Citation(url="https://h", title="t")]),
    Refusal(text="no"),
    ToolCall(id="c", name="f", arguments="{}"),
    ToolCall(id="d", name="g", arguments="x", free_form=True),
    Text(text="more"),
]


def write(content: list[Block], stop: StopReason = "end", **changes: Any) -> tuple[dict[str, Any], list[str]]:
    losses = Losses()
    reply = Reply(id="chatcmpl-7", model="m-1", content=content, stop=stop, created_s=1, usage=USAGE, **changes)
    return CODEC.encode_reply(reply, read(), losses), losses.dropped


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
    body = CODEC.encode_reply(Reply(id="1", model="m", content=[], stop="end"), CODEC.decode_request(FULL), Losses())
    assert body["instructions"] == "Be brief" and body["tools"] == FULL["tools"] and body["text"] == FULL["text"]
    assert body["previous_response_id"] == "resp_9" and body["usage"] is None


@pytest.mark.parametrize(
    ("stop", "status", "reason"),
    [
        ("end", "completed", None),
        ("tool_calls", "completed", None),
        ("refusal", "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("context_window", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
    ],
)
def test_why_it_stopped(stop: StopReason, status: str, reason: str | None) -> None:
    body, dropped = write([Text(text="x")], stop)
    assert body["status"] == status and dropped == []
    assert body["incomplete_details"] == ({"reason": reason} if reason else None)


def test_what_has_no_place_is_listed() -> None:
    content: list[Block] = [
        Foreign(dialect="messages", kind="server_tool_use", value={}),
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
    content: list[Block] = [thought, Foreign(dialect="responses", kind="web_search_call", value=search)]
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
