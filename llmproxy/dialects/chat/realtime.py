"""The Realtime API of OpenAI and Azure: its WebSockets, and the events that report usage.

Source: the SDK's `realtime_response_usage` and `realtime_session_create_request` types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmproxy.dialects.lenient_json import count, object_of, string
from llmproxy.dialects.socket_calls import EventFacts, SocketCalls
from llmproxy.dialects.usage import Usage
from llmproxy.dialects.usage_details import details_of

_DONE = "response.done"


def read_event(event: Mapping[str, Any]) -> EventFacts:
    """Return the usage of an answer, or the model of a session."""
    if event.get("type") == _DONE:
        return EventFacts(usage=_usage(object_of(event.get("response")).get("usage")))
    return EventFacts(model=string(object_of(event.get("session")).get("model")))


def _usage(value: object) -> Usage | None:
    usage = object_of(value)
    if not usage:
        return None
    inputs, outputs = object_of(usage.get("input_token_details")), object_of(usage.get("output_token_details"))
    cached = object_of(inputs.get("cached_tokens_details"))
    return Usage(
        input=count(usage.get("input_tokens")),
        output=count(usage.get("output_tokens")),
        cache_read=count(inputs.get("cached_tokens")),
        details=details_of(
            input_audio=inputs.get("audio_tokens"),
            input_image=inputs.get("image_tokens"),
            output_audio=outputs.get("audio_tokens"),
            cache_read_audio=cached.get("audio_tokens"),
            cache_read_image=cached.get("image_tokens"),
        ),
    )


REALTIME = SocketCalls(
    paths=("/realtime", "/realtime/{path}"),
    capability="openai",
    markers=(b'"response.done"', b'"session.created"'),
    read=read_event,
    names_model=True,
)
