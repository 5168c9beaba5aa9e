"""Read the request of a client into its neutral form: once for all targets that do not speak the client's dialect.

What the Responses API continues is put in front, and what a dialect has in the path comes in. Begin reading at
`RequestReader.read`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from llmproxy.dialects import catalog
from llmproxy.dialects.codec import Codec
from llmproxy.dialects.dialect import Endpoint
from llmproxy.dialects.members import parse
from llmproxy.dialects.model import Request
from llmproxy.errors import BadRequest
from llmproxy.exchange import Exchange
from llmproxy.translation.conversations import Conversations, Turn

# Reading 64 KB of ordinary turns takes 0.6 ms.
_LARGE_BYTES = 64 * 1024

Input = TypeVar("Input")
Result = TypeVar("Result")

_NOTE = "llmproxy.request"
# Members of requests that `conversations.py` handles.
_STATE = ("previous_response_id", "conversation", "background")


class _DecodedRequest(NamedTuple):
    """A request that was decoded from the bytes `raw`."""

    raw: bytes
    request: Request
    turn: Turn | None


class RequestReader:
    """Reads requests, and what they continue in `conversations`."""

    def __init__(self, conversations: Conversations) -> None:
        self._conversations = conversations

    async def read(self, exchange: Exchange) -> tuple[Request, Turn | None]:
        """Return the client's request in neutral form, decoded once, and its turn. Raises BadRequest."""
        held = exchange.held
        known = exchange.notes.get(_NOTE)
        if isinstance(known, _DecodedRequest) and known.raw is held.raw:
            return known.request, known.turn
        exchange.hold(len(held.decoded))  # what the parsed request holds beside the body
        plain = _plain_request(exchange)
        request, turn = await self._decode(exchange) if plain is None else (plain, None)
        exchange.notes[_NOTE] = _DecodedRequest(raw=held.raw, request=request, turn=turn)
        return request, turn

    async def _decode(self, exchange: Exchange) -> tuple[Request, Turn | None]:
        held, endpoint = exchange.held, exchange.endpoint
        codec = codec_of(endpoint)
        body, turn = await run_by_size(len(held.raw), parse, held.decoded), None
        if endpoint is not None:
            codec, body = request_in_call(body, endpoint)
        if endpoint is not None and endpoint.dialect.stateful:
            body, turn = await self._conversations.begin(exchange, body)
        try:
            request = await run_by_size(len(held.raw), codec.decode_request, body)
        except BadRequest as error:
            raise error if turn is None else turn.places.correct_error(error) from None
        add_from_path(request, exchange)
        if turn is not None:
            turn.places.correct(request)
            for name in _STATE:
                request.extra.pop(name, None)
            request.echo |= {"previous_response_id": turn.previous}
            if turn.conversation is not None:
                request.echo |= {"conversation": {"id": turn.conversation}}
        return request, turn


def _plain_request(exchange: Exchange) -> Request | None:
    """Return a short request that is read in one step; None for any other."""
    endpoint, raw = exchange.endpoint, exchange.held.decoded
    if endpoint is None or len(raw) > _LARGE_BYTES or endpoint.form is not None or endpoint.model_in is not None:
        return None
    return codec_of(endpoint).decode_plain_request(raw)


def codec_of(endpoint: Endpoint | None) -> Codec:
    """Return the codec of the dialect of a call that is translated."""
    assert endpoint is not None and endpoint.dialect.codec is not None, "only what has a codec is translated"
    return endpoint.dialect.codec


def request_in_call(body: dict[str, Any], endpoint: Endpoint) -> tuple[Codec, dict[str, Any]]:
    """Return the request in the decoded body of a call, as its dialect has it, and what decodes it."""
    count = endpoint.dialect.token_count
    counted = count is not None and count.path == endpoint.path
    codec, body = catalog.decoded_call(endpoint.dialect, body, counted=counted)
    return codec, (body if endpoint.form is None else endpoint.form.own_body(body))


def add_from_path(request: Request, exchange: Exchange) -> None:
    """Put what the client's dialect has in the path into the neutral request."""
    endpoint = exchange.endpoint
    if endpoint is not None and endpoint.model_in is not None:
        request.model = exchange.model or ""
    if endpoint is not None and endpoint.streams is not None:
        request.stream = endpoint.streams


async def run_by_size(size_bytes: int, work: Callable[[Input], Result], value: Input) -> Result:
    """Return `work(value)`; run it in a thread when it works on so many bytes, so that traffic goes on."""
    if size_bytes <= _LARGE_BYTES:
        return work(value)
    return await asyncio.to_thread(work, value)
