"""The embeddings dialect: no conversation and no stream, only a count of tokens.

Source: platform.openai.com/docs/api-reference/embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from llmproxy.dialects.call_form import deployment_form
from llmproxy.dialects.dialect import Dialect, Readers, Schemas
from llmproxy.dialects.error_body import write_error, write_error_event
from llmproxy.dialects.lenient_json import Fields, Other, count, error_message, string
from llmproxy.dialects.model import Usage
from llmproxy.dialects.reshape import Reshape, read_object
from llmproxy.dialects.stream_watch import FrameWatch
from llmproxy.dialects.summary import Summary
from llmproxy.wire.framing import Frame
from llmproxy.wire.json import read_as, read_members, read_value


class _Usage(Fields):
    prompt_tokens: Any = None


class _Reply(Fields):
    model: Any = None
    usage: _Usage | Other = None
    error: Any = None


_REPLY: msgspec.json.Decoder[_Reply] = msgspec.json.Decoder(_Reply)


class _NoWatch(FrameWatch):
    """Embeddings are not streamed: whatever arrives as a stream says nothing."""

    __slots__ = ()

    def _notable(self, data: bytes) -> bool:
        return False

    def _read(self, frame: Frame) -> None:
        return


class _Reshape(Reshape):
    def is_deterministic(self, request: Mapping[str, Any]) -> bool:
        return True

    def says_something(self, reply: bytes) -> bool:
        return bool((read_object(reply) or {}).get("data"))


def read_text(body: bytes) -> str | None:
    """Return the texts of a request, a line each; None when it has none."""
    texts = [each for each in read_inputs(body) if isinstance(each, str)]
    return "\n".join(texts) if texts else None


def summarize(body: bytes, *, text: bool = False) -> Summary:
    """Read usage and error of an answer."""
    reply = read_as(_REPLY, body)
    if reply is None:
        return Summary()
    error = error_message(reply.error)
    usage = Usage(input=count(reply.usage.prompt_tokens)) if isinstance(reply.usage, _Usage) else None
    return Summary(model=string(reply.model), usage=usage, error=error, complete=error is None)


def read_inputs(request: bytes) -> list[object]:
    """Return each text, or list of token numbers, of a request; a single one counts as a list of one."""
    members = read_members(request)
    value = read_value(members["input"]) if "input" in members else None
    if isinstance(value, list) and not (value and all(isinstance(each, int) for each in value)):
        return value
    return [] if value is None else [value]


DIALECT = Dialect(
    name="embeddings",
    paths=("/embeddings",),
    forms=(deployment_form("/embeddings"),),
    significant=("openai-beta", "openai-organization", "openai-project"),
    key_variable="OPENAI_API_KEY",
    schemas=Schemas(example={"input": "Hello"}),
    write_error=write_error,
    write_error_event=write_error_event,
    readers=Readers(summarize=summarize, watch=_NoWatch, request_text=read_text),
    reshape=_Reshape(),
)
