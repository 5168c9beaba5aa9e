"""The Live API of Gemini and Vertex: its WebSockets, and the messages that report usage.

Source: ai.google.dev/api/live. The first message of a client names the model, so that no path tells it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmproxy.dialects.gemini.tables import NAME
from llmproxy.dialects.gemini.usage import decode_usage
from llmproxy.dialects.lenient_json import object_of, string
from llmproxy.dialects.socket_calls import EventFacts, SocketCalls


def read_event(event: Mapping[str, Any]) -> EventFacts:
    """Return the usage of a turn."""
    return EventFacts(usage=decode_usage(event))


def first_model(message: Mapping[str, Any]) -> str | None:
    """Return the model of the setup, without the path before its name."""
    name = string(object_of(message.get("setup")).get("model"))
    return None if name is None else name.rpartition("/")[2] or None


LIVE = SocketCalls(
    paths=("/ws/google.ai.generativelanguage.{id}", "/ws/google.cloud.aiplatform.{id}/BidiGenerateContent"),
    capability=NAME,
    markers=(b'"usageMetadata"',),
    read=read_event,
    first_model=first_model,
    versioned=False,
)
