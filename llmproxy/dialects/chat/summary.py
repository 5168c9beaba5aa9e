"""Summary of a plain chat completion, or a legacy text completion: 2 µs; `derived.summarize` takes 7.

Nearly all replies have the types that the documentation promises: those are read by a decoder that checks them, all
others field by field, so that a wrong type costs that field and not the rest.
Source: platform.openai.com/docs/api-reference/chat/object. `summarize` is on the hot path.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from llmproxy.dialects.chat.usage import UsageFields, decode_usage
from llmproxy.dialects.lenient_json import MAX_TOKENS, Fields, NoList, Other, content_text, error_message, string
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage
from llmproxy.wire.json import read_as


class _Choice(Fields):
    finish_reason: Any = None


class _Reply(Fields):
    model: Any = None
    usage: UsageFields | Other = None
    error: Any = None
    service_tier: Any = None
    choices: list[_Choice | Other] | NoList = None


class _Message(Fields):
    content: Any = None
    refusal: Any = None


class _TextChoice(_Choice):
    message: _Message | Other = None
    text: Any = None


class _TextReply(_Reply):
    choices: list[_TextChoice | Other] | NoList = None  # type: ignore[assignment]  # narrower, and never written


_Tokens = Annotated[int, msgspec.Meta(ge=0, le=MAX_TOKENS)]
_Zero = Annotated[int, msgspec.Meta(ge=0, le=0)]


class _UsualDetails(Fields):
    cached_tokens: _Tokens | None = None
    cache_write_tokens: None = None
    reasoning_tokens: _Tokens | None = None
    audio_tokens: _Zero | None = None
    image_tokens: _Zero | None = None


class _UsualUsage(Fields):
    prompt_tokens: _Tokens
    completion_tokens: _Tokens
    total_tokens: int | None = None
    prompt_cache_hit_tokens: _Tokens | None = None
    prompt_tokens_details: _UsualDetails | None = None
    completion_tokens_details: _UsualDetails | None = None
    cost: None = None
    num_search_queries: None = None


class _UsualChoice(Fields):
    finish_reason: str | None = None


class _UsualReply(Fields):
    model: str
    usage: _UsualUsage
    choices: list[_UsualChoice]
    error: None = None
    service_tier: Literal["default"] | None = None


_USUAL_REPLY: msgspec.json.Decoder[_UsualReply] = msgspec.json.Decoder(_UsualReply)
_REPLY: msgspec.json.Decoder[_Reply] = msgspec.json.Decoder(_Reply)
_TEXT_REPLY: msgspec.json.Decoder[_TextReply] = msgspec.json.Decoder(_TextReply)


def summarize(body: bytes, *, text: bool = False) -> Summary:
    """Read usage, finish reason and error of a reply; with `text` its first choice's text."""
    if text:
        return summarize_any(body, text=True)
    try:
        reply = _USUAL_REPLY.decode(body)
    except (ValueError, RecursionError):
        return summarize_any(body)
    choices = reply.choices
    return Summary(
        model=reply.model or None,
        usage=_usual_usage(reply.usage),
        finish_reason=choices[0].finish_reason or None if choices else None,
        complete=True,
    )


def _usual_usage(usage: _UsualUsage) -> Usage:
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    cached = None if prompt is None else prompt.cached_tokens
    reasoning = None if completion is None else completion.reasoning_tokens
    tokens_in, tokens_out = usage.prompt_tokens, usage.completion_tokens
    if reasoning and usage.total_tokens == tokens_in + tokens_out + reasoning:
        tokens_out += reasoning
    return Usage(
        input=tokens_in,
        output=tokens_out,
        cache_read=usage.prompt_cache_hit_tokens if cached is None else cached,
        reasoning=reasoning,
    )


def summarize_any(body: bytes, *, text: bool = False) -> Summary:
    """Do the same for any bytes at all."""
    reply: _Reply | None = read_as(_TEXT_REPLY, body) if text else read_as(_REPLY, body)
    if reply is None:
        return Summary()
    choice = reply.choices[0] if isinstance(reply.choices, list) and reply.choices else None
    error = error_message(reply.error)
    return Summary(
        model=string(reply.model),
        usage=decode_usage(reply.usage, reply.service_tier),
        finish_reason=string(choice.finish_reason) if isinstance(choice, _Choice) else None,
        text=_text(choice) if isinstance(choice, _TextChoice) else None,
        error=error,
        complete=error is None,
    )


def _text(choice: _TextChoice) -> str | None:
    if isinstance(choice.message, _Message):
        return content_text(choice.message.content) or string(choice.message.refusal)
    return string(choice.text)
