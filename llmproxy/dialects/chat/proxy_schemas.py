"""Describe what goes in and out of the small chat endpoint, as JSON Schema."""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.chat.proxy_request import ROLES
from llmproxy.dialects.dialect import Schemas

_TEXT: dict[str, Any] = {"type": "string"}
_TOKENS: dict[str, Any] = {"type": ["integer", "null"]}

_REQUEST: dict[str, Any] = {
    "type": "object",
    "required": ["model", "messages"],
    "properties": {
        "model": _TEXT,
        "messages": {
            "type": "array",
            "minItems": 1,
            "description": "The last message must not be from the assistant.",
            "items": {
                "type": "object",
                "required": ["role", "content"],
                "properties": {"role": {"enum": list(ROLES)}, "content": {"type": ["string", "array"], "minLength": 1}},
            },
        },
    },
}

_ANSWER: dict[str, Any] = {
    "type": "object",
    "required": ["id", "object", "created", "model", "choices", "usage"],
    "properties": {
        "id": _TEXT,
        "object": {"const": "chat.completion"},
        "created": {"type": "integer"},
        "model": _TEXT,
        "choices": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "message", "finish_reason"],
                "properties": {
                    "index": {"type": "integer"},
                    "message": {
                        "type": "object",
                        "required": ["role", "content"],
                        "properties": {"role": {"const": "assistant"}, "content": {"type": ["string", "null"]}},
                    },
                    "finish_reason": {"type": ["string", "null"]},
                },
            },
        },
        "usage": {
            "type": ["object", "null"],
            "properties": {"prompt_tokens": _TOKENS, "completion_tokens": _TOKENS, "total_tokens": _TOKENS},
        },
    },
}

_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error", "request_id"],
    "properties": {"error": _TEXT, "detail": _TEXT, "request_id": _TEXT},
    "additionalProperties": False,
}

PROXY_SCHEMAS = Schemas(request=_REQUEST, answer=_ANSWER, error=_ERROR)
