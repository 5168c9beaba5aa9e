"""The Responses API over a WebSocket: clients send `response.create`, the server answers with the events of streams.

Source: the guide on WebSocket mode, and the SDK's `responses.connect`. Each request names its model in its event, so
that no path tells who is to answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmproxy.dialects.lenient_json import object_of, string
from llmproxy.dialects.responses.usage import count_searches, decode_usage
from llmproxy.dialects.socket_calls import EventFacts, SocketCalls

CAPABILITY = "responses-websocket"
_LAST = frozenset(("response.completed", "response.incomplete", "response.failed"))


def read_event(event: Mapping[str, Any]) -> EventFacts:
    """Return usage and model of a response that has ended."""
    if event.get("type") not in _LAST:
        return EventFacts()
    response = object_of(event.get("response"))
    searches = count_searches(response.get("output"))
    return EventFacts(
        usage=decode_usage(response.get("usage"), response.get("service_tier"), searches),
        model=string(response.get("model")),
    )


SOCKET = SocketCalls(
    paths=("/responses",),
    capability=CAPABILITY,
    markers=(b'"response.completed"', b'"response.incomplete"', b'"response.failed"'),
    read=read_event,
    first_model=lambda event: string(event.get("model")),
)
