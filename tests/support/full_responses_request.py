"""A request with nearly everything that the Responses API has, and what reads and writes it."""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.model import Request
from llmproxy.dialects.responses import CODEC

TOOL = {"type": "function", "name": "look", "description": "Looks", "parameters": {"type": "object"}, "strict": False}
FULL: dict[str, Any] = {
    "model": "gpt-5",
    "instructions": "Be brief",
    "input": [
        {"role": "developer", "content": "Use metres"},
        {"role": "user", "content": "Hi"},
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": "gAA=",
        },
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "phase": "commentary",
            "content": [
                {
                    "type": "output_text",
                    "text": "Let me look",
                    "annotations": [
                        {"type": "url_citation", "url": "https://h", "title": "t", "start_index": 0, "end_index": 3}
                    ],
                    "logprobs": [{"token": "L", "bytes": [76], "logprob": -0.1, "top_logprobs": []}],
                },
                {"type": "refusal", "refusal": "No"},
            ],
        },
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_1",
            "name": "look",
            "arguments": '{"a":1}',
            "status": "completed",
        },
        {"type": "custom_tool_call", "call_id": "call_2", "name": "free", "input": "x = 1"},
        {"type": "function_call_output", "call_id": "call_1", "output": "42"},
        {
            "type": "custom_tool_call_output",
            "call_id": "call_2",
            "output": [
                {"type": "input_text", "text": "a"},
                {"type": "input_image", "image_url": "https://h/a.png", "detail": "high"},
            ],
        },
        {"role": "system", "content": "Now in feet"},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What is this?"},
                {"type": "input_image", "image_url": "data:image/png;base64,iVBORw==", "detail": "auto"},
                {"type": "input_image", "file_id": "file_1", "detail": "low"},
                {"type": "input_file", "file_data": "data:application/pdf;base64,JVBERg==", "filename": "a.pdf"},
                {"type": "input_file", "file_url": "https://h/b.pdf"},
            ],
        },
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
        {"type": "item_reference", "id": "msg_9"},
    ],
    "tools": [
        {**TOOL, "strict": True, "defer_loading": True},
        {"type": "custom", "name": "free", "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}},
        {"type": "web_search", "search_context_size": "low"},
    ],
    "tool_choice": {"type": "function", "name": "look"},
    "parallel_tool_calls": False,
    "max_output_tokens": 500,
    "max_tool_calls": 3,
    "temperature": 0.5,
    "top_p": 0.9,
    "top_logprobs": 2,
    "include": ["message.output_text.logprobs", "web_search_call.action.sources"],
    "reasoning": {"effort": "high", "summary": "concise", "context": "auto"},
    "text": {
        "format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True},
        "verbosity": "low",
    },
    "metadata": {"a": "b"},
    "user": "u",
    "safety_identifier": "s",
    "prompt_cache_key": "k",
    "prompt_cache_retention": "24h",
    "service_tier": "flex",
    "store": True,
    "stream": True,
    "stream_options": {"include_obfuscation": False},
    "truncation": "auto",
    "previous_response_id": "resp_9",
}


def read(**changes: Any) -> Request:
    """Return the request `{model, input: "Hi"}` with `changes`, read."""
    return CODEC.decode_request({"model": "m", "input": "Hi", **changes})


def write(request: Request) -> tuple[dict[str, Any], list[str]]:
    """Return a request as it is sent, and what was dropped."""
    losses = Losses()
    return CODEC.encode_request(request, CODEC.context(request.dialect, losses)), losses.dropped
