"""What a busy proxy has seen in a minute, for tests of screens: agents, errors, failover, a cache, long names."""

from __future__ import annotations

import json
from typing import Any

from llmproxy.records.entry import Entry
from tests.support.records import entry, request, response

_AGENT = {"address": "127.0.0.1", "agent": "claude-cli/2.1.37 (external, cli)", "name": None}
_ANNA = {"address": "10.0.0.9", "agent": "OpenAI/Python 2.8.0", "name": "anna"}
_SESSION = "5d1f2c1e-9d0a-4c57-b7b0-3c1f6a2e9d10"
_OPUS, _DATED = "claude-opus-4-5", "claude-opus-4-5-20251101"


def _usage(tokens: int, output: int, cached: int | None = None) -> dict[str, int | None]:
    return {"input": tokens, "output": output, "cache_read": cached, "cache_write": None, "reasoning": None}


def _attempt(provider: str, status: int | None = 200, **changes: Any) -> dict[str, Any]:
    url = f"https://api.{provider}.com/v1/messages"
    return {"provider": provider, "model": "m", "url": url, "status": status, "started_ms": 1, "ended_ms": 90} | changes


_MESSAGES: dict[str, Any] = {
    "path": "/v1/messages",
    "dialect": "messages",
    "provider": "anthropic",
    "session": _SESSION,
    "client": _AGENT,
    "stream": True,
    "attempts": [_attempt("anthropic")],
}
TRAFFIC: tuple[dict[str, Any], ...] = (
    {**_MESSAGES, "model": _OPUS, "served_model": _DATED, "usage": _usage(48_213, 1_204, 46_980), "cost_usd": 0.0941},
    {
        **_MESSAGES,
        "model": "claude-haiku-4-5",
        "served_model": "claude-haiku-4-5-20251001",
        "thread": "title",
        "usage": _usage(312, 18),
        "cost_usd": 0.0004,
        "duration_ms": 612.4,
        "first_token_ms": 401.2,
    },
    {
        "model": "gpt-4o-mini",
        "served_model": "gpt-4o-mini-2024-07-18",
        "usage": _usage(1_200, 85),
        "client": _ANNA,
        "cost_usd": 0.000231,
        "duration_ms": 1_250.0,
        "attempts": [_attempt("openai")],
    },
    {
        "model": "gpt-4o",
        "status": 429,
        "outcome": "error",
        "usage": None,
        "first_token_ms": None,
        "client": _ANNA,
        "error": {
            "code": "provider_error",
            "message": "Rate limit reached for gpt-4o in organization org-1 on tokens per "
            "min (TPM): Limit 30000, Used 29512, Requested 1200.",
        },
        "attempts": [_attempt("openai", 429)],
    },
    {
        "model": "fast",
        "served_model": "llama-3.3-70b-versatile",
        "provider": "groq",
        "usage": _usage(2_048, 512),
        "session": "nightly-summaries",
        "duration_ms": 2_304.0,
        "first_token_ms": 180.0,
        "cost_usd": 0.0016,
        "attempts": [_attempt("openai", None, error="connect_timeout"), _attempt("groq")],
    },
    {
        "model": "gpt-9",
        "served_model": None,
        "provider": None,
        "status": 404,
        "outcome": "error",
        "usage": None,
        "first_token_ms": None,
        "duration_ms": 1.2,
        "error": {"code": "model_not_found", "message": "Unknown model 'gpt-9'. Did you mean gpt-4o?"},
    },
    {
        "model": "text-embedding-3-small",
        "served_model": "text-embedding-3-small",
        "path": "/v1/embeddings",
        "usage": _usage(6, 0),
        "first_token_ms": None,
        "duration_ms": 88.0,
        "attempts": [_attempt("openai")],
    },
    {
        "model": "gpt-4o-mini",
        "served_model": "gpt-4o-mini",
        "provider": None,
        "cache": "hit",
        "usage": _usage(1_200, 85),
        "cost_usd": 0.0,
        "duration_ms": 0.8,
        "first_token_ms": 0.6,
        "client": _ANNA,
    },
    {
        **_MESSAGES,
        "model": _OPUS,
        "served_model": _DATED,
        "usage": _usage(51_020, 96, 48_100),
        "duration_ms": 26_304.0,
        "outcome": "cancelled",
        "complete": False,
    },
    {
        **_MESSAGES,
        "model": _OPUS,
        "served_model": _DATED,
        "usage": None,
        "duration_ms": 125_100.0,
        "outcome": "broken",
        "complete": False,
        "error": {
            "code": "upstream_stream_broken",
            "message": "The stream ended early: no data for 120 s (upstream.idle_timeout).",
        },
    },
    {
        "method": "GET",
        "path": "/v1/models",
        "dialect": None,
        "model": None,
        "served_model": None,
        "provider": None,
        "usage": None,
        "first_token_ms": None,
        "duration_ms": 0.4,
        "finish_reason": None,
    },
    {
        "model": "通义千问-超大杯-🙂",
        "served_model": "qwen3-max-2025-09-23-instruct-preview",
        "provider": "dashscope",
        "session": "夜间摘要",
        "usage": _usage(1_200, 85),
        "client": {"address": "10.0.0.9", "agent": "httpx", "name": "安娜"},
        "duration_ms": 950.0,
        "attempts": [_attempt("dashscope")],
    },
)


def entries() -> list[Entry]:
    return [entry(number, **changes) for number, changes in enumerate(TRAFFIC)]


def agent_turn() -> dict[str, Any]:
    """Return the members of a record of one turn of an agent: a long prompt, thinking, a tool call, a stream."""
    prompt = (
        "The tests of the parser fail since the last commit. Find out why, mend the parser rather than the tests, and "
        "explain in one paragraph what was wrong."
    )
    asked = {
        "model": _OPUS,
        "max_tokens": 8192,
        "stream": True,
        "system": "You are a careful engineer.",
        "messages": [{"role": "user", "content": prompt}],
        "tools": [{"name": "bash", "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}}}],
    }
    texts = ("I will run ", "the tests of ", "the parser ", "first.")
    call = ('{"command": ', '"pytest -q ', 'tests/test_parser.py"}')
    frames: list[dict[str, Any]] = [
        {
            "type": "message_start",
            "message": {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": _DATED,
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": {"input_tokens": 1233, "output_tokens": 1, "cache_read_input_tokens": 46980},
            },
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": each}} for each in texts),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "content_block_start",
            "index": 1,
            "content_block": {"type": "tool_use", "id": "toolu_1", "name": "bash", "input": {}},
        },
        *(
            {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": each}}
            for each in call
        ),
        {"type": "content_block_stop", "index": 1},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {"output_tokens": 1204},
        },
        {"type": "message_stop"},
    ]
    chunks = [
        {"at_ms": 900.0 + 55 * number, "text": f"event: {frame['type']}\ndata: {json.dumps(frame)}\n\n"}
        for number, frame in enumerate(frames)
    ]
    return {
        **TRAFFIC[0],
        "duration_ms": 1_800.0,
        "first_token_ms": 1_010.0,
        "finish_reason": "tool_use",
        "request": request(asked, size=48_120),
        "response": response(
            None,
            format=None,
            chunks=chunks,
            size=2_816,
            headers={"content-type": "text/event-stream", "request-id": "req_011"},
        ),
    }


def _model(requests: int, p50: float, **changes: Any) -> dict[str, Any]:
    latency = {"p50": p50, "p95": p50 * 3, "p99": p50 * 7}
    first = {"p50": p50 / 4, "p95": p50 / 2, "p99": p50 / 2}
    return {
        "requests": requests,
        "success_rate": 1.0,
        "latency_ms": latency,
        "first_token_ms": first,
        "tokens_per_second": 61.2,
        "tokens": {"input": requests * 40_213, "output": requests * 604, "cache_read": requests * 38_100},
        "cost_usd": requests * 0.0412,
        "in_flight": 0,
        "failed_over": 0,
        "errors": {},
    } | changes


_LIMITED: dict[str, Any] = {"success_rate": 0.875, "errors": {"http_429": 14, "upstream_timeout": 2}, "failed_over": 12}
_PLAIN: dict[str, Any] = {"tokens": {"input": 61_000, "output": 4_100, "cache_read": None}}
STATS_PAGE: dict[str, Any] = {
    "version": "1.2.3",
    "started": "2026-01-02T01:00:00.000000Z",
    "uptime_seconds": 7_800.0,
    "requests": {"total": 452, "per_second": 1.4, "in_flight": 2, "cancelled": 3},
    "totals": {
        "tokens": {"input": 12_968_000, "output": 198_000, "cache_read": 11_811_000},
        "cost_usd": 14.21,
        "cost_unknown": 8,
    },
    "providers": {
        "anthropic": _model(310, 2_400.0, in_flight=2)
        | {"models": {_OPUS: _model(190, 3_100.0, in_flight=2), "claude-haiku-4-5": _model(120, 640.0)}},
        "openai": _model(128, 1_250.0, **_PLAIN, **_LIMITED)
        | {
            "models": {
                "gpt-4o-mini": _model(120, 1_250.0, **_PLAIN, **_LIMITED),
                "other": _model(8, 88.0, first_token_ms={}, tokens_per_second=None, cost_usd=None, tokens={}),
            }
        },
        "groq": _model(12, 310.0, cost_usd=0.011) | {"models": {"llama-3.3-70b-versatile": _model(12, 310.0)}},
    },
    "without_provider": {"cache": 9, "unknown_model": 1, "other": 4},
    "targets": [
        {
            "provider": "openai",
            "model": "gpt-4o-mini",
            "state": "open",
            "recent_failures": 5,
            "opened": 2,
            "next_try_ms": 12_000.0,
            "first_token_ms": 310.0,
            "running": 0,
            "limits": [{"kind": "tokens", "left": 312, "limit": 30_000}],
        },
        {
            "provider": "groq",
            "model": "llama-3.3-70b-versatile",
            "state": "closed",
            "recent_failures": 0,
            "opened": 0,
            "first_token_ms": 78.0,
            "running": 0,
            "limits": [],
        },
    ],
    "clients": [
        {
            "client": "anna",
            "requests": 402,
            "success_rate": 0.96,
            "avg_duration_ms": 2_300.0,
            "in_flight": 2,
            "tokens": {"input": 12_100_000, "output": 180_000, "cache_read": 11_500_000},
            "cost_usd": 13.9,
            "errors": 16,
            "last_seen": "2026-01-02T03:09:34.000000Z",
        },
        {
            "client": "10.0.0.9",
            "requests": 50,
            "success_rate": 1.0,
            "avg_duration_ms": 900.0,
            "in_flight": 0,
            "tokens": {"input": 868_000, "output": 18_000, "cache_read": 311_000},
            "cost_usd": 0.31,
            "errors": 0,
            "last_seen": "2026-01-02T02:51:00.000000Z",
        },
    ],
    "running": {
        "count": 2,
        "exchanges": [
            {
                "model": _OPUS,
                "provider": "anthropic",
                "session": _SESSION,
                "age_ms": 26_304.0,
                "first_token_ms": 1_010.0,
                "sent_bytes": 48_213,
            },
            {"model": _OPUS, "provider": "anthropic", "client": "anna", "age_ms": 410.0, "sent_bytes": 0},
        ],
    },
}
SESSIONS_PAGE: dict[str, Any] = {
    "store": "memory",
    "available": True,
    "figures": {
        "active": 3,
        "created": 41,
        "creation_rate_per_minute": 0.327,
        "hits": 398,
        "hit_rate": 0.9066,
        "fuzzy_matches": 12,
        "resets": 0,
        "expired": 38,
        "evicted": 0,
    },
    "sessions": [
        {
            "id": _SESSION,
            "client": "127.0.0.1 claude-cli/2.1.37",
            "started": "2026-01-02T02:44:10Z",
            "last_seen": "2026-01-02T03:09:34Z",
            "requests": 61,
            "errors": 2,
            "models": [_OPUS, "claude-haiku-4-5"],
            "tokens": {"input": 2_913_000, "output": 71_200, "cache_read": 2_840_000},
            "cost_usd": 3.87,
        },
        {
            "id": "nightly-summaries",
            "client": "anna",
            "started": "2026-01-02T01:10:00Z",
            "last_seen": "2026-01-02T03:04:00Z",
            "requests": 12,
            "errors": 0,
            "models": ["fast"],
            "tokens": {"input": 24_600, "output": 6_100, "cache_read": 0},
            "cost_usd": 0.0192,
            "cost_unknown": 1,
        },
        {
            "id": "s_3f2a9c01d4e85b76",
            "client": "10.0.0.9",
            "started": "2026-01-02T03:09:59Z",
            "last_seen": "2026-01-02T03:09:59Z",
            "requests": 1,
            "errors": 0,
            "models": ["gpt-4o-mini"],
            "tokens": {"input": 0, "output": 0, "cache_read": 0},
        },
    ],
}
