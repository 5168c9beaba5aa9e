"""Summary of a plain chat completion, or a legacy text completion: 2 µs; `derived.summarize` takes 7.

Source: platform.openai.com/docs/api-reference/chat/object. `summarize` is on the hot path.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmproxy.dialects.chat.usage import UsageFields, decode_usage
from llmproxy.dialects.lenient_json import Fields, NoList, Other, content_text, error_message, string
from llmproxy.dialects.summary import Summary
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


_REPLY: msgspec.json.Decoder[_Reply] = msgspec.json.Decoder(_Reply)
_TEXT_REPLY: msgspec.json.Decoder[_TextReply] = msgspec.json.Decoder(_TextReply)


def summarize(body: bytes, *, text: bool = False) -> Summary:
    """Read usage, finish reason and error of a reply; with `text` its first choice's text."""
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
