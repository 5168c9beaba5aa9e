"""Chat completions that are not streamed: reading and writing them, legacy text completions too.

Source: platform.openai.com/docs/api-reference/chat/object. `read_reply` is on the hot path.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmproxy.dialects.base import Canned, Summary, Usage
from llmproxy.dialects.lenient_json import Fields, NoList, Other, content_text, count, error_message, string
from llmproxy.wire.json import read_as, write_value


class _Details(Fields):
    cached_tokens: Any = None
    cache_write_tokens: Any = None
    reasoning_tokens: Any = None


class UsageFields(Fields):
    """The object `usage`. Some services name cached tokens `prompt_cache_hit_tokens`."""

    prompt_tokens: Any = None
    completion_tokens: Any = None
    total_tokens: Any = None
    prompt_cache_hit_tokens: Any = None
    prompt_tokens_details: _Details | Other = None
    completion_tokens_details: _Details | Other = None


class _Choice(Fields):
    finish_reason: Any = None


class _Reply(Fields):
    model: Any = None
    usage: UsageFields | Other = None
    error: Any = None
    choices: list[_Choice | Other] | NoList = None


class _Message(Fields):
    content: Any = None
    refusal: Any = None


class _TextChoice(_Choice):
    message: _Message | Other = None
    text: Any = None


class _TextReply(_Reply):
    choices: list[_TextChoice | Other] | NoList = None  # type: ignore[assignment]  # narrower, and never written


_REPLY: msgspec.json.Decoder[_Reply] = msgspec.json.Decoder(_Reply)
_TEXT_REPLY: msgspec.json.Decoder[_TextReply] = msgspec.json.Decoder(_TextReply)


def read_reply(body: bytes, *, text: bool = False) -> Summary:
    """Usage, finish reason and error of a reply; its first choice's text when that is wanted."""
    reply: _Reply | None = read_as(_TEXT_REPLY, body) if text else read_as(_REPLY, body)
    if reply is None:
        return Summary()
    choice = reply.choices[0] if isinstance(reply.choices, list) and reply.choices else None
    error = error_message(reply.error)
    return Summary(
        model=string(reply.model),
        usage=read_usage(reply.usage) if isinstance(reply.usage, UsageFields) else None,
        finish_reason=string(choice.finish_reason) if isinstance(choice, _Choice) else None,
        text=_text(choice) if isinstance(choice, _TextChoice) else None,
        error=error,
        complete=error is None,
    )


def read_usage(usage: UsageFields) -> Usage:
    """Tokens as counted. Prompt tokens include cached ones; where reasoning was counted beside the completion, as the
    total shows, the output is both."""
    given = usage.prompt_tokens_details
    made = usage.completion_tokens_details
    tokens_in = count(usage.prompt_tokens)
    tokens_out = count(usage.completion_tokens)
    cached = count(given.cached_tokens) if isinstance(given, _Details) else None
    reasoning = count(made.reasoning_tokens) if isinstance(made, _Details) else None
    if reasoning and tokens_in is not None and tokens_out is not None:
        beside = usage.total_tokens == tokens_in + tokens_out + reasoning
        tokens_out += reasoning if beside else 0
    return Usage(
        input=tokens_in,
        output=tokens_out,
        cache_read=count(usage.prompt_cache_hit_tokens) if cached is None else cached,
        cache_write=count(given.cache_write_tokens) if isinstance(given, _Details) else None,
        reasoning=reasoning,
    )


def _text(choice: _TextChoice) -> str | None:
    if isinstance(choice.message, _Message):
        return content_text(choice.message.content) or string(choice.message.refusal)
    return string(choice.text)


def write_reply(canned: Canned) -> bytes:
    """A whole chat completion."""
    message = {"role": "assistant", "content": "".join(canned.pieces), "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return write_value(
        {
            "id": f"chatcmpl-{canned.id}",
            "object": "chat.completion",
            "created": canned.created_s,
            "model": canned.model,
            "choices": [choice],
            "usage": usage_object(canned.usage),
        }
    )


def write_completion(canned: Canned) -> bytes:
    """A whole legacy text completion."""
    return write_value(
        {
            "id": f"cmpl-{canned.id}",
            "object": "text_completion",
            "created": canned.created_s,
            "model": canned.model,
            "choices": [{"text": "".join(canned.pieces), "index": 0, "logprobs": None, "finish_reason": "stop"}],
            "usage": usage_object(canned.usage),
        }
    )


def usage_object(usage: Usage) -> dict[str, object] | None:
    """The member `usage`; None when the counts that it must have are not known."""
    if usage.input is None or usage.output is None:
        return None
    counts: dict[str, object] = {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
    }
    cached = {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write}
    details = {name: tokens for name, tokens in cached.items() if tokens is not None}
    if details:
        counts["prompt_tokens_details"] = details
    if usage.reasoning is not None:
        counts["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning}
    return counts
