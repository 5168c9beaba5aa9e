"""A provider for work without keys: the same short answer in every dialect, whole or streamed, with usage.

Its tokens are words (of the request, with a role as one of them, and of the answer), so that the numbers are the same
on every run. It stands for a vendor, so it refuses what every vendor refuses, and has no files or batches. Dialects
with state are translated for it, so that the proxy keeps responses as for every provider without such state. Begin
reading at `Stub.answer`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase

from llmproxy.answer import Answer
from llmproxy.body import Body
from llmproxy.client_request import ClientRequest
from llmproxy.dialects import catalog
from llmproxy.dialects.codec import Codec
from llmproxy.dialects.derived import request_text
from llmproxy.dialects.dialect import Dialect, Endpoint
from llmproxy.dialects.embeddings import EMBEDDINGS_CODEC, pack_vector, read_inputs
from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.model import Reply, Text
from llmproxy.dialects.stream_events import Close, Delta, Done, Event, Open, Start, Stop, UsageUpdate
from llmproxy.dialects.usage import Usage
from llmproxy.errors import BadRequest
from llmproxy.providers.base import ConfiguredProvider, ProviderConfig
from llmproxy.providers.own_answers import json_answer, stream_answer
from llmproxy.target import Target
from llmproxy.wire.json import write_value
from llmproxy.wire.sse import write_frame

_PIECES = ("stub ", "response")
VECTOR_LENGTH = 8
_MAX_VECTOR_LENGTH = 4096
_MODEL = "stub"


class Stub(ConfiguredProvider):
    """Answers `stub response` to everything that is a request."""

    def __init__(self, config: ProviderConfig) -> None:
        speaks = {each.name for each in catalog.DIALECTS if not each.stateful and not each.client_only}
        super().__init__(config, speaks, answers=(_MODEL,), alone=True)
        if _MODEL not in self.models and any(fnmatchcase(_MODEL, pattern) for pattern in self.patterns):
            self.models = (*self.models, _MODEL)

    def has_call(self, endpoint: Endpoint) -> bool:
        return _other_call(endpoint) is not None or endpoint.translatable

    def prepare(self, request: ClientRequest, target: Target) -> None:
        return None

    async def answer(self, request: ClientRequest, target: Target) -> Answer:
        endpoint = request.endpoint
        other = None if endpoint is None else _other_call(endpoint)
        if endpoint is None or not self.has_call(endpoint) or request.method != "POST":
            raise BadRequest(_not_found(request), status=404, code="not_found")
        body = request.held
        body.require_object()
        if not body.members:
            raise BadRequest("The body must be a JSON object that is not empty")
        model = target.model or request.model or _MODEL
        usage = Usage(input=_words(endpoint.dialect, body), output=len(_PIECES))
        reply = Reply(
            id=request.id,
            model=model,
            content=[Text(text="".join(_PIECES))],
            stop="end",
            usage=usage,
            created_s=int(request.began_s),
        )
        if other is not None:
            return other(endpoint.dialect, body, reply)
        assert endpoint.dialect.codec is not None, "only dialects with a codec are translatable"
        return _converse(endpoint, endpoint.dialect.codec, body, reply)


def _not_found(request: ClientRequest) -> str:
    paths = [dialect.paths[0] for dialect in catalog.DIALECTS if dialect.codec and not dialect.client_only]
    paths += [dialect.token_count.path for dialect in catalog.DIALECTS if dialect.token_count and not dialect.stateful]
    return (
        f"Not found: {request.method} {request.path or '/'}. The stub answers POST "
        f"{', '.join(sorted({*paths, *_OTHER_CALLS}))}"
    )


def _converse(endpoint: Endpoint, codec: Codec, body: Body, reply: Reply) -> Answer:
    request = codec.decode_request({"model": reply.model, **body.content})
    if not (request.stream if endpoint.streams is None else endpoint.streams):
        return json_answer(write_value(codec.encode_response(reply, request, codec.context(reply.dialect, Losses()))))
    encoder, losses = codec.stream_encoder(request), Losses()
    frames = [encoder.encode([event], losses) for event in _events(reply)]
    return stream_answer([frame for frame in frames if frame], endpoint.dialect.framing)


def _events(reply: Reply) -> Iterable[Event]:
    assert reply.usage is not None, "the stub counts"
    yield Start(id=reply.id, model=reply.model, created_s=reply.created_s, usage=reply.usage)
    yield Open(index=0, block=Text(text=""))
    for piece in _PIECES:
        yield Delta(index=0, text=piece)
    yield Close(index=0)
    yield Stop(reason=reply.stop)
    yield UsageUpdate(usage=reply.usage)
    yield Done()


def _count(dialect: Dialect, body: Body, reply: Reply) -> Answer:
    """Count the tokens of a request that could be sent."""
    assert dialect.token_count is not None
    codec, request = catalog.decoded_call(dialect, body.content, counted=True)
    codec.decode_request({"model": reply.model, **request})
    text = request_text(codec, write_value(request)) or ""
    return json_answer(dialect.token_count.write(len(text.split())))


def _complete(dialect: Dialect, body: Body, reply: Reply) -> Answer:
    """Complete a text (platform.openai.com/docs/api-reference/completions)."""
    head: dict[str, object] = {
        "id": f"cmpl-{reply.id}",
        "object": "text_completion",
        "created": reply.created_s,
        "model": reply.model,
    }
    usage = _token_counts(reply, len(_PIECES))
    if body.value("stream") is not True:
        return json_answer(write_value({**head, "choices": [_text_choice("".join(_PIECES), "stop")], "usage": usage}))
    chunks = [{**head, "choices": [_text_choice(piece, None)]} for piece in _PIECES]
    chunks.append({**head, "choices": [_text_choice("", "stop")]})
    if dialect.reshape.counts_usage(body.content):
        chunks = [*({**chunk, "usage": None} for chunk in chunks), {**head, "choices": [], "usage": usage}]
    return stream_answer([*(write_frame(write_value(chunk)) for chunk in chunks), write_frame(b"[DONE]")])


def _text_choice(text: str, reason: str | None) -> dict[str, object]:
    return {"text": text, "index": 0, "logprobs": None, "finish_reason": reason}


def _token_counts(reply: Reply, output: int) -> dict[str, object]:
    tokens = (reply.usage.input if reply.usage else None) or 0
    return {"prompt_tokens": tokens, "completion_tokens": output, "total_tokens": tokens + output}


def _embed(dialect: Dialect, body: Body, reply: Reply) -> Answer:
    """Give a vector for each input: the same for the same text, of length 1.

    `dimensions` and `encoding_format` of the request are honoured; official clients ask for base64.
    """
    if body.value("input") is None:
        raise BadRequest("input is missing", code="missing_parameter", param="input")
    EMBEDDINGS_CODEC.decode_request({"model": reply.model, "input": body.value("input")}).check(takes_tokens=True)
    dimensions = body.value("dimensions")
    length = min(dimensions, _MAX_VECTOR_LENGTH) if isinstance(dimensions, int) and dimensions > 0 else VECTOR_LENGTH
    packed = body.value("encoding_format") == "base64"
    vectors = [_vector(each, length) for each in read_inputs(body.decoded)]
    data = [
        {"object": "embedding", "index": index, "embedding": pack_vector(vector) if packed else vector}
        for index, vector in enumerate(vectors)
    ]
    usage = {name: count for name, count in _token_counts(reply, 0).items() if name != "completion_tokens"}
    return json_answer(write_value({"object": "list", "data": data, "model": reply.model, "usage": usage}))


def _vector(text: object, length: int) -> list[float]:
    seed = hashlib.shake_128(write_value(text)).digest(length)
    numbers = [byte - 127.5 for byte in seed]
    norm: float = sum(number * number for number in numbers) ** 0.5
    return [number / norm for number in numbers]


_OTHER_CALLS: Mapping[str, Callable[[Dialect, Body, Reply], Answer]] = {
    "/completions": _complete,
    "/embeddings": _embed,
}


def _other_call(endpoint: Endpoint) -> Callable[[Dialect, Body, Reply], Answer] | None:
    """Return what answers a call beside the main one of its dialect."""
    count = endpoint.dialect.token_count
    return _count if count is not None and count.path == endpoint.path else _OTHER_CALLS.get(endpoint.path)


def _words(dialect: Dialect, body: Body) -> int:
    text = dialect.readers.request_text(body.decoded)
    if text is None:
        text = " ".join(_texts(body.value("prompt") or body.value("input")))
    return len(text.split())


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, int):
        yield str(value)  # a token that the client counted itself
