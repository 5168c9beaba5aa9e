"""Summary of a whole answer of Converse: an override of `derived.summarize`, which takes 3 times as long.

Source: the shape `ConverseResponse`. `summarize` is on the hot path.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmproxy.dialects.converse.usage import TierFields, UsageFields, decode_usage
from llmproxy.dialects.lenient_json import Fields, Other, error_message, objects, string
from llmproxy.dialects.summary import Summary
from llmproxy.wire.json import read_as


class _Message(Fields):
    content: Any = None


class _Output(Fields):
    message: _Message | Other = None


class _Reply(Fields):
    stopReason: Any = None
    usage: UsageFields | Other = None
    serviceTier: TierFields | Other = None
    message: Any = None
    error: Any = None


class _TextReply(_Reply):
    output: _Output | Other = None


_REPLY: msgspec.json.Decoder[_Reply] = msgspec.json.Decoder(_Reply)
_TEXT_REPLY: msgspec.json.Decoder[_TextReply] = msgspec.json.Decoder(_TextReply)


def summarize(body: bytes, *, text: bool = False) -> Summary:
    """Read usage, stop reason and error of an answer; with `text` the text of its blocks."""
    reply: _Reply | None = read_as(_TEXT_REPLY, body) if text else read_as(_REPLY, body)
    if reply is None:
        return Summary()
    error = string(reply.message) or error_message(reply.error)
    return Summary(
        usage=decode_usage(reply.usage, reply.serviceTier),
        finish_reason=string(reply.stopReason),
        text=_text(reply) if isinstance(reply, _TextReply) and error is None else None,
        error=error,
        complete=error is None,
    )


def _text(reply: _TextReply) -> str:
    message = reply.output.message if isinstance(reply.output, _Output) else None
    texts: list[str] = []
    for block in objects(message.content if isinstance(message, _Message) else None):
        cited = block.get("citationsContent")
        parts = [block, *objects(cited.get("content") if isinstance(cited, dict) else None)]
        texts += [part["text"] for part in parts if isinstance(part.get("text"), str)]
    return "".join(texts)
