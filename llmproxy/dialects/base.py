"""What every dialect offers: which calls it has, and how to read and write its bytes.

A dialect is a wire language named after its API (`chat`, `responses`, `messages`). This module holds the small values
that all of them share and the interface they implement; it knows no vendor and no HTTP. Begin reading at `Dialect`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from llmproxy.dialects.history import History
from llmproxy.dialects.reshape import Replay
from llmproxy.errors import ProxyError
from llmproxy.wire.framing import Framing
from llmproxy.wire.sse import SSE

NO_HISTORY = History([], 0)


# Usage and Summary are made for every answer: as msgspec structs in 0.14 µs each, as dataclasses in 0.6 to 0.9 µs.
class Usage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Tokens as the provider counted them; None where it said nothing, never a guess.

    `input` includes `cache_read` and `cache_write`; `output` includes `reasoning`.
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None


class Summary(msgspec.Struct, kw_only=True):
    """What could be read out of a reply or a stream; None is "not said".

    `id` is the answer's own where later requests can name it. `complete` is True once the dialect's last event (or a
    whole plain reply) was seen. `error` is the provider's message when the reply or an event of the stream is an error.
    """

    id: str | None = None
    model: str | None = None
    usage: Usage | None = None
    finish_reason: str | None = None
    text: str | None = None
    error: str | None = None
    complete: bool = False


class Watch(ABC):
    """Looks at an answer's stream as it passes and decodes as little of it as it can.

    `started` turns True at the first event that carries content (text, thinking, a tool call). With `text=True` at
    creation every event is read and its text collected; otherwise `summary.text` stays None.
    """

    started: bool
    summary: Summary

    @abstractmethod
    def feed(self, data: bytes) -> None:
        """Take the next identity-coded bytes, cut anywhere. Never raises for what the bytes say."""

    @abstractmethod
    def close(self) -> Summary:
        """The stream ended, cleanly or not: read what is left and return the summary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Canned:
    """A finished text answer, written in any dialect: what the stub and own providers give.

    `pieces` are the deltas of the stream; joined they are the plain answer.
    """

    id: str
    model: str
    created_s: int
    pieces: tuple[str, ...]
    usage: Usage
    include_usage: bool = False


class Dialect(ABC):
    """One wire language. Stateless; one instance serves everything.

    `replay` gives an answer again in another form; `significant` are the request headers, in lower case, on which an
    answer depends.
    `paths` are the unversioned paths of its POST calls that carry a model and are answered in this dialect, e.g.
    `/chat/completions`. `framing` is how its streams are cut into frames.
    """

    name: str
    paths: tuple[str, ...]
    framing: Framing = SSE
    replay: Replay = Replay()
    significant: tuple[str, ...] = ()

    @abstractmethod
    def read_request_text(self, body: bytes) -> str | None:
        """The conversation of a request as plain text, a line per message; None when it cannot be read."""

    def read_history(self, body: Mapping[str, Any]) -> History:
        """What was said in a request, from its decoded JSON object; nothing for calls without a conversation."""
        return NO_HISTORY

    @abstractmethod
    def read_reply(self, body: bytes, *, text: bool = False) -> Summary:
        """Read a whole plain reply (identity-coded). Anything unreadable gives an empty Summary, never an exception."""

    @abstractmethod
    def watch(self, *, text: bool = False) -> Watch:
        """A new observer for one stream."""

    @abstractmethod
    def write_error(self, error: ProxyError, request_id: str) -> bytes:
        """The JSON body of an error of ours, in the shape this dialect's clients parse."""

    @abstractmethod
    def write_error_event(self, error: ProxyError, request_id: str) -> bytes:
        """The whole SSE frame(s) that tell a client of a started stream that it failed."""

    @abstractmethod
    def write_reply(self, canned: Canned) -> bytes:
        """The JSON body of a plain text reply."""

    @abstractmethod
    def write_stream(self, canned: Canned) -> Sequence[bytes]:
        """The SSE frames of a text reply, first to last, in an order the vendor's SDK accepts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One call that clients make, wherever its path stands (under `/v1`, bare, or below a provider's prefix).

    `capability` is the word a provider must list to serve it: a dialect's name (`completions` and `embeddings` are
    dialects too), or `openai` for the rest of that API. `path` is unversioned; parameters stand in braces, `{path}` is
    any number of segments. `model` says whether the body's top level names the model, so that the body is held and
    read. `template` is the path in metrics.
    """

    dialect: Dialect
    capability: str
    path: str
    template: str
    model: bool = True
