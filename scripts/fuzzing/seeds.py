"""What fuzzing begins with: the golden conversations, as requests, whole answers and streams of each dialect.

`invoke` is Bedrock's form of messages, as a provider alone speaks it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from random import Random
from typing import Any

from llmproxy.dialects import catalog
from tests.support.event_messages import chunk_of, message_of
from tests.support.translation_cases import CASES
from tests.support.translation_cases import NAMES as NAMES

REQUESTS = {name: [case.requests[name] for case in CASES if name in case.requests] for name in NAMES}
REPLIES = {name: [case.replies[name] for case in CASES if name in case.replies] for name in NAMES}
STREAMS = {
    name: [
        case.streams[name] if name == "converse" else case.streams[name].replace(b"\r\n", b"\n")
        for case in CASES
        if name in case.streams
    ]
    for name in NAMES
}
REPLIES["invoke"] = REPLIES["messages"]
STREAMS["invoke"] = [
    b"".join(
        chunk_of(data)
        for line in stream.split(b"\n")
        if (data := line.removeprefix(b"data: ")) and line[:5] == b"data:"
    )
    for stream in STREAMS["messages"]
]
DIALECT_OF = {"c": "chat", "r": "responses", "m": "messages", "g": "gemini", "b": "converse", "i": "invoke"}
"""What the providers of the programs speak, by their names."""
BINARY = ("converse", "invoke")
"""Those whose streams are binary messages."""
_MODELS = {
    "c": ("gpt-4o", "qwen3-coder", "openai/gpt-oss-120b", "mistral-large"),
    "r": ("gpt-5", "gpt-4o", "o3", "gpt-5.1"),
    "m": ("claude-sonnet-4-5", "claude-opus-4-8", "claude-3-5-haiku-latest", "claude-x"),
    "g": ("gemini-3-flash-preview", "gemini-2.5-pro", "gemma-3", "gemini-x"),
    "b": ("us.amazon.nova-pro-v1:0", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "meta.llama3-70b", "cohere.x"),
    "i": ("anthropic.claude-3-haiku-20240307-v1:0", "arn:aws:bedrock:us-east-1:1:inference-profile/x.claude-y"),
}


_ODD = ("\ud800", "\x00", "\r\n", "\u202e", "x" * 3000, "{", '"', "*", "\U0001f642", " ", "a/b/c", "%0a", "other", "")


def provider(rng: Random) -> str:
    """Return the name of a provider."""
    return rng.choice(list(DIALECT_OF))


def model(rng: Random, provider: str) -> str:
    """Return the name of a model of a provider, most often one that nobody else asks for; now and then an odd one."""
    if rng.random() < 0.04:
        return f"{provider}/{rng.choice(_ODD)}"
    name = f"{provider}/{rng.choice(_MODELS[provider])}"
    return name if rng.random() < 0.2 else f"{name}-{rng.randrange(10**6)}"


def request(rng: Random, dialect: str) -> dict[str, Any]:
    """Return a request of the dialect."""
    return dict(rng.choice(REQUESTS[dialect]))


def path_of(dialect: str, model: object, *, stream: bool) -> str:
    """Return the path, with a query, at which a client asks for a model."""
    known = catalog.by_name(dialect)
    assert known is not None, "a name of the catalog"
    called = catalog.translated_call(known, stream=stream)
    text = model if isinstance(model, str) else "any"
    path = called.path_for(text.encode("utf-8", "replace").decode())
    query = f"?{known.stream_query}" if stream and known.stream_query else ""
    return f"{known.version}{path}{query}"


def frames_of(dialect: str, stream: bytes) -> list[bytes]:
    """Return the frames of a stream that may have been changed; what is none is a frame of its own."""
    if dialect not in BINARY:
        return stream.split(b"\n\n")
    frames: list[bytes] = []
    while len(stream) >= 4:
        size = min(max(struct.unpack("!I", stream[:4])[0], 4), len(stream))
        frames.append(stream[:size])
        stream = stream[size:]
    return [*frames, stream]


def joined(dialect: str, frames: Sequence[bytes]) -> bytes:
    """Return frames as a stream."""
    return (b"" if dialect in BINARY else b"\n\n").join(frames)


def message(name: str, value: Any) -> bytes:
    """Return an event as a binary message, with right checksums around any value."""
    return message_of(name, value)
