"""Ask a provider for embeddings in its own form, in as many requests as it needs, and join the answers.

The pipeline comes here where client and provider have different forms of embeddings, or where the provider takes fewer
inputs at once than the client sent. Begin reading at `plan_embeddings`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import msgspec

from llmproxy.answer import Answer
from llmproxy.body import Body
from llmproxy.call import Call
from llmproxy.dialects import catalog
from llmproxy.dialects.dialect import Endpoint
from llmproxy.dialects.embedding_codec import EmbeddingCodec, EmbeddingReply, EmbeddingRequest, whole_number
from llmproxy.dialects.embeddings import read_inputs
from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.members import parse
from llmproxy.dialects.provider_errors import BadReply, decode_error
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage
from llmproxy.errors import BadRequest
from llmproxy.exchange import Exchange, MemoryBudget
from llmproxy.target import Target
from llmproxy.translation.headers import answer_headers, request_headers
from llmproxy.wire.compression import decompress
from llmproxy.wire.json import write_unicode

AT_ONCE = 8
"""How many requests of one client's run at a time: a thousand at once would be refused."""

_REPLY_BYTES = 64 * 1024 * 1024
# What is longer is decoded in a thread: 64 KB of numbers take half a millisecond.
_LARGE_BYTES = 64 * 1024

Input = TypeVar("Input")
Result = TypeVar("Result")
OpenCall = Callable[[Exchange], Awaitable[Answer]]
"""Sends one request, as the provider is to see it, and returns the answer as far as its head."""


def plan_embeddings(exchange: Exchange, call: Call, budget: MemoryBudget, *, strict: bool) -> EmbeddingCall | None:
    """Return the call of a target that takes embeddings in another form than the client's, or fewer at once; None for
    all other requests. Raises BadRequest for what the target cannot be asked for."""
    forms = embedding_forms(exchange, call.target)
    if forms is None:
        return None
    if call.model is None:
        raise BadRequest("The request has no model. Add the field `model`", param="model")
    request = forms.client.decode_request(parse(exchange.held.decoded))
    request.check(takes_tokens=forms.provider.takes_tokens)
    return EmbeddingCall(
        exchange=exchange,
        call=call,
        request=request,
        client=forms.client,
        provider=forms.provider,
        budget=budget,
        losses=Losses(strict=strict),
    )


class EmbeddingForms(NamedTuple):
    """The form in which a client asks for embeddings, and the one in which a provider is asked."""

    client: EmbeddingCodec
    provider: EmbeddingCodec


def embedding_forms(exchange: Exchange, target: Target) -> EmbeddingForms | None:
    """Return both forms where the request does not go to `target` as it came; None for all other requests."""
    endpoint, body = exchange.endpoint, exchange.body
    find = None if endpoint is None else endpoint.dialect.embeddings.get(endpoint.path)
    if endpoint is None or find is None or not isinstance(body, Body):
        return None
    model = target.model or exchange.model
    provider = catalog.embedding_codec(target.provider.embeds_as(model))
    if provider is None or exchange.route is None or exchange.route.relay:
        return None
    if endpoint.served_by(target.provider.speaks_for(model)) and _relays(endpoint, provider, body):
        return None
    client = find(body.content if endpoint.model_in is not None else {})
    return None if client is None else EmbeddingForms(client, provider)


def _relays(endpoint: Endpoint, provider: EmbeddingCodec, body: Body) -> bool:
    """Return whether a request goes as it came to a target that speaks its dialect: a cloud must have it in the form of
    the client, and a provider that imitates the dialect not take fewer inputs than it has."""
    if provider.dialect == endpoint.dialect.name:
        form = "" if endpoint.form is None else endpoint.form.name
        return provider.form in (None, form)
    few = body.decoded.count(b'"') <= 2 * provider.most_inputs  # there are two for each text
    return few or len(read_inputs(body.decoded)) <= provider.most_inputs


class _Refused(Exception):
    """One of the requests was answered with an error."""

    def __init__(self, answer: Answer, body: bytes) -> None:
        super().__init__()
        self.answer = answer
        self.body = body


@dataclass(slots=True, kw_only=True)
class EmbeddingCall:
    """One client's request for embeddings, and the requests to a provider that answer it."""

    exchange: Exchange
    call: Call
    request: EmbeddingRequest
    client: EmbeddingCodec
    provider: EmbeddingCodec
    budget: MemoryBudget
    losses: Losses

    async def answer(self, open_: OpenCall) -> Answer:
        """Return the answer for the client: all vectors, or the first error. Raises ProxyError."""
        self.call.dropped = self.losses.dropped
        self.call.summary = Summary(model=self.call.model)
        sent = [self._sent(body) for body in self._bodies()]
        turns = asyncio.Semaphore(AT_ONCE)

        async def ask(each: Exchange) -> tuple[Answer, EmbeddingReply]:
            async with turns:
                return await self._ask(open_, each)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(ask(each)) for each in sent]
        except* Exception as errors:
            first = _first(errors)
            if not isinstance(first, _Refused):
                raise first from None
            refused = first
        else:
            return await self._joined([task.result() for task in tasks])
        return self._error(refused)

    def _bodies(self) -> list[bytes]:
        """Return the bodies of the requests, each with as many inputs as the provider takes."""
        model, most = self.call.model or "", self.provider.most_inputs
        inputs = self.request.inputs
        parts = [inputs[start : start + most] for start in range(0, len(inputs), most)]
        return [
            write_unicode(self.provider.encode_request(replace(self.request, inputs=part), model, self.losses))
            for part in parts
        ]

    def _sent(self, raw: bytes) -> Exchange:
        """Return the request with this body, as the provider is to see it."""
        endpoint = catalog.embedding_call(self.provider)
        view = self.exchange.view()
        self.exchange.hold(len(raw))
        self.call.held_bytes += len(raw)
        view.body, view.method, view.endpoint, view.query = Body(raw), "POST", endpoint, None
        view.path = f"{endpoint.dialect.version}{endpoint.path_for(self.call.model or '')}"
        view.headers = request_headers(self.exchange.headers, self.provider.key_header, self.provider.key_scheme)
        return view

    async def _ask(self, open_: OpenCall, sent: Exchange) -> tuple[Answer, EmbeddingReply]:
        answer = await open_(sent)
        try:
            body = await self._read(answer)
        finally:
            answer.close()
        if answer.status >= 400:
            raise _Refused(answer, body)
        reply = await _run(self._decode, body, large=len(body) > _LARGE_BYTES)
        if reply.tokens is None and self.provider.tokens_header:
            text = answer.headers.get(self.provider.tokens_header, "")
            reply.tokens = whole_number(int(text)) if text.isdecimal() else None
        return answer, reply

    async def _read(self, answer: Answer) -> bytes:
        body = bytearray(answer.body)
        while answer.stream is not None and len(body) < _REPLY_BYTES:
            data = await answer.stream.read()
            if not data:
                break
            self.budget.hold(self.exchange, len(data))
            body += data
        return decompress(bytes(body), answer.headers.get("Content-Encoding", ""), _REPLY_BYTES)

    def _decode(self, body: bytes) -> EmbeddingReply:
        """Read a reply. Raises BadReply for what is none."""
        value: Any = None
        try:
            value = msgspec.json.decode(body)
            return self.provider.decode_reply(value)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            reported = value.get("error") if isinstance(value, dict) else None
            raise BadReply("The provider's answer has no embeddings that can be read", reported) from error

    async def _joined(self, replies: Sequence[tuple[Answer, EmbeddingReply]]) -> Answer:
        """Return one answer of all replies, in the order of the inputs. What was not counted everywhere is unknown."""
        counts = [reply.tokens for _, reply in replies]
        whole = EmbeddingReply(
            vectors=[vector for _, reply in replies for vector in reply.vectors],
            tokens=None if None in counts else sum(count or 0 for count in counts),
            model=replies[0][1].model,
        )
        if len(whole.vectors) != len(self.request.inputs):
            raise BadReply(f"The provider answered {len(self.request.inputs)} inputs with {len(whole.vectors)} vectors")
        name = self.exchange.model or self.call.model or ""
        written = await _run(lambda reply: self._write(reply, name), whole, large=len(whole.vectors) > 1)
        self.exchange.hold(len(written))
        headers = answer_headers(replies[0][0], self.losses.dropped, "application/json")
        if self.provider.tokens_header:
            headers.popall(self.provider.tokens_header, None)
        if self.client.tokens_header and whole.tokens is not None:
            headers[self.client.tokens_header] = str(whole.tokens)
        summary = self.call.summary = Summary(
            model=whole.model or self.call.model, usage=Usage(input=whole.tokens), complete=True
        )
        return Answer(status=200, headers=headers, body=written, length=len(written), summary=summary)

    def _write(self, reply: EmbeddingReply, model: str) -> bytes:
        return write_unicode(self.client.encode_reply(reply, self.request, model))

    def _error(self, refused: _Refused) -> Answer:
        """Return the provider's error in the client's dialect."""
        assert self.exchange.endpoint is not None
        error, dialect = decode_error(refused.answer.status, refused.body), self.exchange.endpoint.dialect
        self.call.code = error.code
        headers = answer_headers(refused.answer, self.losses.dropped, "application/json")
        headers.update(dialect.error_headers(error))
        summary = self.call.summary = Summary(model=self.call.model, error=error.message)
        written = dialect.write_error(error, self.exchange.request_id)
        return Answer(status=dialect.status_of(error), headers=headers, body=written, summary=summary)


async def _run(work: Callable[[Input], Result], value: Input, *, large: bool) -> Result:
    """Return `work(value)`; run it in a thread when it is much, so that traffic goes on."""
    return await asyncio.to_thread(work, value) if large else work(value)


def _first(errors: BaseExceptionGroup[Exception]) -> Exception:
    """Return the first error of a group, which may be nested."""
    first: BaseException = errors.exceptions[0]
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    assert isinstance(first, Exception)
    return first
