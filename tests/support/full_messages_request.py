"""A messages request with every member that the SDK's `MessageCreateParams` and block types know, and older ones."""

from __future__ import annotations

from typing import Any

MARK = {"type": "ephemeral", "ttl": "5m"}
PNG = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
PLAIN = {"type": "text", "media_type": "text/plain", "data": "words"}
CITED = {
    "type": "page_location",
    "cited_text": "words",
    "document_index": 0,
    "document_title": None,
    "start_page_number": 1,
    "end_page_number": 2,
}

EVERYTHING: dict[str, Any] = {
    "model": "claude-sonnet-5",
    "max_tokens": 9000,
    "system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind.", "cache_control": MARK}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "See these.", "cache_control": MARK},
                {"type": "image", "source": PNG, "transformations": {"oversized_image": "downsize"}},
                {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
                {"type": "image", "source": {"type": "file", "file_id": "file_1"}, "cache_control": MARK},
                {
                    "type": "document",
                    "source": PLAIN,
                    "title": "Words",
                    "context": "About words.",
                    "citations": {"enabled": True},
                    "cache_control": MARK,
                },
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
                },
                {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "A"}]}},
                {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
                {
                    "type": "search_result",
                    "source": "https://example.com",
                    "title": "T",
                    "content": [{"type": "text", "text": "found"}],
                    "citations": {"enabled": True},
                },
                {"type": "container_upload", "file_id": "file_2"},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "EqQB+/=="},
                {"type": "redacted_thinking", "data": "EmwK+/=="},
                {"type": "text", "text": "Words.", "citations": [CITED]},
                {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
                {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
                {
                    "type": "tool_use",
                    "id": "toolu_1",
                    "name": "look",
                    "input": {"at": "sky", "deep": {"er": [1, 2.5, None]}},
                    "caller": {"type": "direct"},
                },
                {
                    "type": "tool_use",
                    "id": "toolu_2",
                    "name": "look",
                    "input": {},
                    "cache_control": MARK,
                    "toolset_name": "eyes",
                },
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "blue", "cache_control": MARK},
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_2",
                    "is_error": True,
                    "toolset_name": "eyes",
                    "content": [{"type": "text", "text": "dark"}, {"type": "image", "source": PNG}],
                },
                {"type": "text", "text": "Go on."},
            ],
        },
        {"role": "system", "content": "Hurry."},
        {"role": "assistant", "content": "The sky is"},
    ],
    "tools": [
        {
            "name": "look",
            "description": "Looks.",
            "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}},
            "strict": True,
            "cache_control": MARK,
            "eager_input_streaming": True,
            "defer_loading": False,
            "input_examples": [{"at": "sky"}],
            "allowed_callers": ["direct"],
        },
        {"type": "web_search_20260318", "name": "web_search", "max_uses": 2},
    ],
    "mcp_servers": [{"type": "url", "url": "https://example.com/mcp", "name": "s"}],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 2048, "display": "summarized"},
    "output_config": {
        "effort": "high",
        "format": {"type": "json_schema", "schema": {"type": "object", "additionalProperties": False}},
        "task_budget": {"type": "tokens", "total": 50000},
    },
    "stop_sequences": ["END"],
    "temperature": 1.0,
    "top_p": 0.99,
    "top_k": 40,
    "metadata": {"user_id": "u"},
    "service_tier": "auto",
    "container": {"id": "c", "skills": []},
    "context_management": {"edits": []},
    "diagnostics": {"previous_message_id": "msg_0"},
    "inference_geo": "eu",
    "speed": "fast",
    "user_profile_id": "up",
    "cache_control": MARK,
    "stream": True,
}
