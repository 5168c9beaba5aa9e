"""Events of Bedrock as the binary messages of a stream, written without the code that reads them.

Source: smithy.io/2.0/aws/amazon-eventstream.html (prelude, headers of type 7, two checksums). Begin at `messages_of`.
"""

from __future__ import annotations

import base64
import json
import struct
from typing import Any
from zlib import crc32


def messages_of(events: list[dict[str, Any]]) -> bytes:
    """Return events of Bedrock, objects with the name of each as their only member, as a stream."""
    return b"".join(message_of(name, value) for event in events for name, value in event.items())


def message_of(name: str, value: dict[str, Any]) -> bytes:
    """Return one event; an exception by its name."""
    kind = "exception" if name.endswith("Exception") else "event"
    headers = {f":{kind}-type": name, ":content-type": "application/json", ":message-type": kind}
    return _packed(headers, json.dumps(value).encode())


def chunk_of(event: bytes) -> bytes:
    """Return the JSON of an event as a message of InvokeModelWithResponseStream, padded as Bedrock pads it."""
    padding = "abcdefghij"[: len(event) % 10]
    return message_of("chunk", {"bytes": base64.b64encode(event).decode(), "p": padding})


def _packed(headers: dict[str, str], payload: bytes) -> bytes:
    written = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack("!II", len(written) + len(payload) + 16, len(written))
    message = prelude + struct.pack("!I", crc32(prelude)) + written + payload
    return message + struct.pack("!I", crc32(message))
