"""Hold the neutral vocabulary of streams: events in which every dialect reads and writes an answer piece by piece.

Blocks and their parts are values of `model.py`; `reply_events.py` turns events into a reply and back. Begin reading at
`Event`.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from llmproxy.dialects.model import Block, Citation, StopReason
from llmproxy.dialects.usage import Usage


class Start(msgspec.Struct, kw_only=True):
    """Begin every stream."""

    id: str
    model: str
    created_s: int | None = None
    usage: Usage | None = None


class Open(msgspec.Struct, kw_only=True):
    """Begin a block, without the text that follows as deltas. Indices count up from 0 and are never used twice.

    Several blocks may be open at once, as parallel tool calls may come interleaved.
    """

    index: int
    block: Block


class Delta(msgspec.Struct, kw_only=True):
    """Add to a text, to thinking, to a refusal, or to the arguments of a call."""

    index: int
    text: str
    logprobs: list[Any] | None = None


class Cite(msgspec.Struct, kw_only=True):
    """Cite a source in an open text."""

    index: int
    citation: Citation


class Close(msgspec.Struct, kw_only=True):
    """End a block. The rest belongs to Thinking: its signature or encrypted form, and more `extra`."""

    index: int
    signature: str | None = None
    encrypted: str | None = None
    extra: dict[str, Any] = {}


class UsageUpdate(msgspec.Struct, kw_only=True):
    """Count the tokens so far; the last update is the one that counts."""

    usage: Usage


class Stop(msgspec.Struct, kw_only=True):
    """Say why the model stopped; all blocks are closed by then. `UsageUpdate` may still follow. `word` is the
    provider's own word for the reason."""

    reason: StopReason
    sequence: str | None = None
    word: str | None = None


class Done(msgspec.Struct, kw_only=True):
    """End a stream in the way of its dialect. Nothing follows."""


class Fail(msgspec.Struct, kw_only=True):
    """End a stream with the provider's error, or because it broke off or cannot be read. Nothing follows."""

    message: str
    code: str = "upstream_stream_error"
    status: int = 502


class Lost(msgspec.Struct, kw_only=True):
    """Name what of the stream the neutral vocabulary does not have; `what` goes to the list of losses."""

    what: str


Event: TypeAlias = Start | Open | Delta | Cite | Close | UsageUpdate | Stop | Done | Fail | Lost
