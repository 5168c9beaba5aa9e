"""Events of Bedrock as the binary messages of a stream."""

from __future__ import annotations

import json
from typing import Any

from llmproxy.wire.eventstream import write_exception, write_message


def messages_of(events: list[dict[str, Any]]) -> bytes:
    """Return events of Bedrock, objects with the name of each as their only member, as a stream."""
    return b"".join(
        (write_exception if name.endswith("Exception") else write_message)(name, json.dumps(value).encode())
        for event in events
        for name, value in event.items()
    )
