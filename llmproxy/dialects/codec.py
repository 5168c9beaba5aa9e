"""What a dialect that takes part in translation offers: its wire form to and from the neutral vocabulary.

A `Codec` is stateless, but for the decoders and encoders of streams that it makes. What a client sent wrong is a
`BadRequest` whose `param` is the JSON path; what a target cannot carry is a loss of the `EncodeContext`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llmproxy.dialects.encode_context import DEFAULT_OPTIONS, EncodeContext, Losses, Options
from llmproxy.dialects.model import Message, Reply, Request
from llmproxy.dialects.provider_errors import decode_error
from llmproxy.dialects.stream_decode import StreamDecoder
from llmproxy.dialects.stream_encode import StreamEncoder
from llmproxy.errors import ProxyError

_LONGEST_WORD = 64


def _no_finish_reason(response: Mapping[str, Any]) -> str | None:
    return None


def not_plain(raw: bytes) -> Request | None:
    """Return None: for dialects whose requests are all read in several steps."""
    return None


def _dependent(items: list[Any], first: int) -> list[Message] | None:
    return None


def _unchanged(request: Request, context: EncodeContext) -> Request:
    return request


def _unknown(model: str) -> bool:
    return False


def _not_shared(model: str) -> str:
    return ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Codec:
    """One wire language to and from the neutral vocabulary: six functions and a few facts.

    * `decode_request` reads a client's request from the decoded JSON object. Every member that is not understood is
      kept in `extra` of its node. Raises BadRequest with the JSON path for what is wrong. Model and stream flag are
      left empty where the dialect has them in the path.
    * `encode_request` writes the body to send to a provider. Raises BadRequest for content that it cannot carry.
    * `fit_request` changes a request into what its model accepts, and lists that. `encode_request` does so itself.
    * `knows_model` says whether a name is that of a model whose maker speaks this dialect.
    * `decode_response` reads a provider's whole answer. Raises BadReply when it is not of this dialect, or an error.
    * `encode_response` writes the whole answer for a client that sent the request. Losses are never strict here.
    * `decode_error` reads a provider's answer of status 400 and more, of which several shapes are known to the default.
    * `stream_decoder` makes a decoder for one stream of a provider, `stream_encoder` an encoder for one client.
    * `stop_words` are the finish reasons of its vendors that are understood; others become the end of a turn, and are
      listed. None: all of them.
    * `decode_plain_request` reads the JSON of a request without anything unusual in one step; None for others.
    * `decode_turns` reads the items of the list `turns` alone, the first of which has the given index; None where they
      depend on those before. Raises BadRequest as `decode_request` does.
    * `finish_reason_of` returns the finish reason in an answer that `encode_response` wrote.

    `turns` is the member of a request with the list of its messages, "" where they are never read apart from the rest.
    Clients send their key in the header `key_header` behind `key_scheme`. `takes_url` are the kinds of media that a
    request can name by URL. `needs_thinking` says of a model that it refuses to think in a tool turn whose earlier
    thinking is missing; `seal` is the `Thinking.dialect` that its providers accept back, its own name unless it
    shares the models of another dialect. `sealed_name` gives the name of a model that accepts its own sealed
    thinking back at every service, whichever of them made it; "" for one where only the service does that made it.
    `longest_tool_name` is how many characters the name of a tool may have, and `made_up_id` says of the id of a
    call that it is one of the decoder's, as the call has none.
    """

    name: str
    decode_request: Callable[[dict[str, Any]], Request]
    encode_request: Callable[[Request, EncodeContext], dict[str, Any]]
    decode_response: Callable[[bytes], Reply]
    encode_response: Callable[[Reply, Request, EncodeContext], dict[str, Any]]
    stream_decoder: Callable[[], StreamDecoder]
    stream_encoder: Callable[[Request], StreamEncoder]
    decode_plain_request: Callable[[bytes], Request | None] = not_plain
    turns: str = ""
    decode_turns: Callable[[list[Any], int], list[Message] | None] = _dependent
    fit_request: Callable[[Request, EncodeContext], Request] = _unchanged
    knows_model: Callable[[str], bool] = _unknown
    decode_error: Callable[[int, bytes], ProxyError] = decode_error
    stop_words: frozenset[str] | None = None
    finish_reason_of: Callable[[Mapping[str, Any]], str | None] = _no_finish_reason
    key_header: str = "Authorization"
    key_scheme: str = "Bearer "
    takes_url: frozenset[str] = frozenset({"image", "document", "audio", "video"})
    needs_thinking: Callable[[str], bool] = _unknown
    seal: str = ""
    sealed_name: Callable[[str], str] = _not_shared
    made_up_id: Callable[[str], bool] = _unknown
    longest_tool_name: int = 64

    def unknown_stop(self, word: str | None) -> str | None:
        """Return what to list of a provider's finish reason that nobody knows; None for a known one."""
        if word is None or self.stop_words is None or word in self.stop_words:
            return None
        return f"stop.{word[:_LONGEST_WORD]}"

    def __post_init__(self) -> None:
        object.__setattr__(self, "seal", self.seal or self.name)

    def context(
        self,
        dialect: str,
        losses: Losses,
        options: Options = DEFAULT_OPTIONS,
        *,
        continued: bool = False,
        piece: bool = False,
    ) -> EncodeContext:
        """Return the context in which this dialect encodes values of `dialect`."""
        own = dialect == self.name
        return EncodeContext(losses=losses, options=options, own=own, continued=continued, piece=piece)
