"""Summary of a plain message: 2 µs; `derived.summarize` takes 7.

Source: docs.anthropic.com/en/api/messages. `summarize` is on the hot path.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmproxy.dialects.lenient_json import Fields, Other, content_text, error_message, string
from llmproxy.dialects.messages.usage import UsageFields, decode_usage
from llmproxy.dialects.summary import Summary
from llmproxy.wire.json import read_as


class _Reply(Fields):
    model: Any = None
    stop_reason: Any = None
    usage: UsageFields | Other = None
    error: Any = None


class _TextReply(_Reply):
    content: Any = None


_REPLY: msgspec.json.Decoder[_Reply] = msgspec.json.Decoder(_Reply)
_TEXT_REPLY: msgspec.json.Decoder[_TextReply] = msgspec.json.Decoder(_TextReply)


def summarize(body: bytes, *, text: bool = False) -> Summary:
    """Read usage, stop reason and error of a reply; with `text` the text of its blocks."""
    reply: _Reply | None = read_as(_TEXT_REPLY, body) if text else read_as(_REPLY, body)
    if reply is None:
        return Summary()
    error = error_message(reply.error)
    return Summary(
        model=string(reply.model),
        usage=decode_usage(reply.usage),
        finish_reason=string(reply.stop_reason),
        text=content_text(reply.content) if isinstance(reply, _TextReply) else None,
        error=error,
        complete=error is None,
    )
