"""What a dialect that takes part in translation offers: its wire form to and from the neutral vocabulary.

A `Codec` is stateless, but for the decoders and encoders of streams that it makes. What a client sent wrong is a
`BadRequest` whose `param` is the JSON path; what a target cannot carry goes through `Losses`. Begin at `Codec`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, Protocol

from llmproxy.dialects.lenient_json import error_message
from llmproxy.dialects.model import Event, Node, Reply, Request
from llmproxy.dialects.provider_errors import code_of, status_of
from llmproxy.errors import ProxyError, Untranslatable

MOST_LOSSES = 1000
"""How many are listed: a large body may lose something in each of a million messages."""


@dataclass(slots=True)
class Losses:
    """What a translation leaves behind.

    `dropped` are JSON paths in the client's request (`temperature`, `messages[2].name`), or, for replies, what the
    client's dialect has no place for (`reply.thinking`); of very many the first ones and "...". With `strict` the first
    loss is refused.
    """

    strict: bool = False
    dropped: list[str] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def drop(self, path: str) -> None:
        """A knob that the target lacks. Raises Untranslatable when `strict`."""
        if self.strict:
            raise Untranslatable(
                f"{path} cannot be carried to this model's provider, and translation is strict here", param=path
            )
        if path not in self._seen and len(self._seen) <= MOST_LOSSES:
            self._seen.add(path)
            self.dropped.append(path if len(self._seen) <= MOST_LOSSES else "...")

    def drop_extra(self, node: Node) -> None:
        """All that only the client's dialect understands of `node`; names that begin with ~ are its bookkeeping."""
        for name in node.extra:
            if name[:1] == "~":
                continue
            self.drop(f"{node.path}.{name}" if node.path else name)

    def refuse(self, path: str, why: str) -> NoReturn:
        """Content that the target cannot carry: a 400 that names it. `why` is a whole sentence that begins with what
        stands there, such as "An audio block cannot be sent to a Messages API"."""
        raise Untranslatable(f"{path}: {why}", param=path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is known of a target beyond its dialect.

    `default_max_tokens` is sent where the dialect demands a limit and the client gave none. `structured_output` is
    `tool` where a service has none of its own: the answer is then asked for as the arguments of a tool. `media_urls`
    says that it fetches images and documents by URL itself, where its dialect can name them so. `max_tokens_name` is
    how a chat service calls the limit: `max_completion_tokens` is OpenAI's name and `max_tokens` its older one, the
    only one that many compatible services know. `developer` says whether a chat service knows messages of that role;
    otherwise they are written as `system`.
    """

    default_max_tokens: int = 8192
    structured_output: Literal["native", "tool"] = "native"
    media_urls: bool = True
    max_tokens_name: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    developer: bool = True


def refuse_unshared(request: Request, losses: Losses) -> None:
    """Refuse what no second dialect has: several choices (`n`), spoken answers, a choice of built-in tools.

    For encoders, when the request is of another dialect than theirs.
    """
    if request.extra.get("n", 1) != 1:
        losses.refuse("n", "Several choices can be had only from a provider of the client's own dialect; send 1")
    modalities = request.extra.get("modalities")
    if isinstance(modalities, list) and "audio" in modalities:
        losses.refuse("modalities", "A spoken answer can be had only from a provider of the client's own dialect")
    if "audio" in request.extra:
        losses.refuse("audio", "A spoken answer can be had only from a provider of the client's own dialect")
    choice = request.tool_choice
    if choice is not None and choice.opaque is not None:
        kind = str(choice.opaque.get("type"))[:50]
        told = f"A choice of type {kind!r} speaks of tools that only a provider of the client's own dialect has"
        losses.refuse(choice.path, told)


class StreamDecoder(Protocol):
    """Reads one stream of a provider."""

    def feed(self, data: bytes) -> Sequence[Event]:
        """Return the events in the next identity-coded bytes, cut anywhere. Never raises for what the bytes say: what
        cannot be read is a `Fail`, after which nothing more comes."""

    def close(self) -> Sequence[Event]:
        """Return the rest; called when the transport ended. Without the dialect's last event that is a `Fail`; nothing
        after `Done`."""


class StreamEncoder(Protocol):
    """Writes one stream for a client."""

    def encode(self, events: Sequence[Event], losses: Losses) -> bytes:
        """Return the frames for `events`, possibly none yet; their order is valid for the vendor's SDK at every moment.
        What the dialect has no place for is a loss; losses are never strict here."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Codec:
    """One wire language to and from the neutral vocabulary: six functions and a few facts.

    * `decode_request` reads a client's request from the decoded JSON object. Every member that is not understood is
      kept in `extra` of its node. Raises BadRequest with the JSON path for what is wrong. Model and stream flag are
      left empty where the dialect has them in the path.
    * `encode_request` writes the body to send to a provider. Raises BadRequest for content that it cannot carry.
    * `decode_response` reads a provider's whole answer. Raises BadReply when it is not of this dialect, or an error.
    * `encode_response` writes the whole answer for a client that sent the request. Losses are never strict here.
    * `stream_decoder` makes a reader for one stream of a provider, `stream_encoder` a writer for one client.

    Clients send their key in the header `key_header` behind `key_scheme`. `takes_url` are the kinds of media that a
    request can name by URL. `needs_thinking` says that its provider refuses to think in a tool turn whose earlier
    thinking is missing; `longest_tool_name` is how many characters the name of a tool may have.
    """

    name: str
    decode_request: Callable[[dict[str, Any]], Request]
    encode_request: Callable[[Request, Options, Losses], dict[str, Any]]
    decode_response: Callable[[bytes], Reply]
    encode_response: Callable[[Reply, Request, Losses], dict[str, Any]]
    stream_decoder: Callable[[], StreamDecoder]
    stream_encoder: Callable[[Request], StreamEncoder]
    key_header: str = "Authorization"
    key_scheme: str = "Bearer "
    takes_url: frozenset[str] = frozenset({"image", "document", "audio", "video"})
    needs_thinking: bool = False
    longest_tool_name: int = 64


class BadReply(ProxyError):
    """An answer of a provider that is not of its dialect: 502; or, with the `error` that it holds, what that says.

    `reported` is the provider's own message when it reports an error.
    """

    def __init__(self, message: str, error: object = None) -> None:
        super().__init__(message, status=status_of(error), code=code_of(error) or "upstream_bad_reply", retryable=True)
        self.reported = error_message(error)
