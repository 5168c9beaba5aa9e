"""Translate calls whose client and provider speak different dialects: the request, and the answer.

The pipeline comes here for targets that do not speak the client's dialect. `translation/translation.py` turns bodies;
this module knows headers, streams, and what must be certain before an answer is committed. Begin at `Translator`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple

from llmproxy.access.identity import identity_of
from llmproxy.answer import Answer, Headers
from llmproxy.body import Body
from llmproxy.call import Call
from llmproxy.dialects import catalog
from llmproxy.dialects.dialect import Dialect, Endpoint
from llmproxy.dialects.encode_context import NeedsAllMessages
from llmproxy.dialects.model import Media, Request
from llmproxy.errors import BadRequest, ProxyError, Untranslatable, UpstreamError
from llmproxy.exchange import Exchange, MemoryBudget
from llmproxy.route import Route
from llmproxy.stores.responses import ResponseStore
from llmproxy.target import Provider, Target
from llmproxy.translation.answer_streams import REPLY_BYTES, DecodedStream, RecalledStream, TranslatedStream
from llmproxy.translation.conversation_calls import ConversationCalls
from llmproxy.translation.conversation_store import ConversationStore
from llmproxy.translation.conversations import Conversations, Turn
from llmproxy.translation.embedding_calls import EmbeddingCall, embedding_forms, plan_embeddings
from llmproxy.translation.headers import answer_headers, request_headers
from llmproxy.translation.reasoning_store import ReasoningStore
from llmproxy.translation.repeated_turns import KeptTurns
from llmproxy.translation.request_reader import RequestReader, codec_of, run_by_size
from llmproxy.translation.token_estimate import estimate_tokens
from llmproxy.translation.translation import Translation
from llmproxy.translation.turn_memory import TurnMemory, turns_for
from llmproxy.upstream.media import MediaFetcher
from llmproxy.wire.framing import Framing
from llmproxy.wire.http import BODILESS_STATUSES
from llmproxy.wire.json import read_value

# How much of an error page is read for its message.
ERROR_BYTES = 1024 * 1024
_A = {"image": "an image", "document": "a document", "audio": "audio", "video": "a video"}


def translation_endpoint(provider: Provider, model: str | None, *, stream: bool = False) -> Endpoint | None:
    """Return the call of `provider` that serves clients of dialects that it does not speak; None without one."""
    dialect = catalog.translation_dialect(provider.speaks_for(model), provider.translate_to)
    return None if dialect is None else catalog.translated_call(dialect, stream=stream)


class TranslatedCall(NamedTuple):
    """A call under way: `exchange` as the target sees it, `turn` where its answer is to be stored."""

    exchange: Exchange
    translation: Translation
    turn: Turn | None


class Translator:
    """Translates for one configuration.

    `store` keeps responses and reasoning; `strict` refuses what would otherwise be dropped; `fetcher` gets what clients
    name by URL, where a provider takes it only inside the request; `estimates` allows estimates of token counts.
    `bind_calls` is awaited with the ids of calls whose thinking is kept here.
    """

    def __init__(
        self,
        store: ResponseStore,
        budget: MemoryBudget,
        *,
        strict: bool = False,
        fetcher: MediaFetcher | None = None,
        estimates: bool = False,
        bind_calls: Callable[[Exchange, Sequence[str]], Awaitable[None]] | None = None,
    ) -> None:
        conversations = ConversationStore(store)
        self._conversations = Conversations(conversations)
        self._requests = RequestReader(self._conversations)
        self._conversation_calls = ConversationCalls(conversations)
        self._reasoning = ReasoningStore(store)
        self._budget = budget
        self._strict = strict
        self._fetcher = fetcher
        self._estimates = estimates
        self._bind_calls = bind_calls

    def needed(self, exchange: Exchange, target: Target) -> bool:
        """Return whether `target` speaks another dialect than the client."""
        endpoint = exchange.endpoint
        if endpoint is None or endpoint.served_by(target.provider.speaks_for(target.model or exchange.model)):
            return False
        if exchange.route is None or exchange.route.relay:
            return False
        return endpoint.translatable or endpoint.untranslated

    def embeddings(self, exchange: Exchange, call: Call) -> EmbeddingCall | None:
        """Return how to ask the target of `call` for embeddings in its own form; None where the request goes as it
        came, or is for something else. Raises BadRequest."""
        if exchange.endpoint is None or not exchange.endpoint.dialect.embeddings:
            return None
        return plan_embeddings(exchange, call, self._budget, strict=self._strict)

    async def answer_untranslated(self, exchange: Exchange, call: Call) -> Answer:
        """Answer a call that has no translation: an estimate of the tokens, else a 501 that says what to do."""
        endpoint, provider = exchange.endpoint, call.target.provider.name
        assert endpoint is not None, "only calls of a dialect are translated"
        count = endpoint.dialect.token_count
        if count is None or count.path != endpoint.path:
            raise _not_implemented(f"The provider {provider!r} of this model does not support {endpoint.template}")
        if not self._estimates:
            message = f"The provider {provider!r} of this model cannot count tokens in this dialect"
            raise _not_implemented(f"{message}. For an estimate, set translation.estimate_tokens in the configuration")
        request, _ = await self.request(exchange)
        tokens = await run_by_size(len(exchange.held.raw), estimate_tokens, request)
        headers = Headers([("Content-Type", "application/json"), ("x-llmproxy-estimated", "input_tokens")])
        call.status = 200
        return Answer(status=200, headers=headers, body=count.write(tokens))

    def dialect_for(self, exchange: Exchange, target: Target) -> str | None:
        """Return the name of the dialect, or of the form of embeddings, into which a request is translated for
        `target`; None where it is not."""
        forms = embedding_forms(exchange, target)
        if forms is not None:
            return forms.provider.name
        dialect = self.dialect_of(exchange, target) if self.needed(exchange, target) else None
        return None if dialect is None else dialect.name

    def dialect_of(self, exchange: Exchange, target: Target) -> Dialect | None:
        """Return the dialect in which `target` is called: the client's, or one into which the request is translated."""
        if not self.needed(exchange, target):
            return None if exchange.endpoint is None else exchange.endpoint.dialect
        endpoint = translation_endpoint(target.provider, target.model or exchange.model)
        return None if endpoint is None else endpoint.dialect

    async def prepare(self, exchange: Exchange, call: Call) -> TranslatedCall:
        """Translate the request of `exchange` for the target of `call`. Raises BadRequest.

        What the translation could not carry is listed in `call`, and so is what it learns of the answer.
        """
        target = call.target
        model = target.model or exchange.model or ""
        endpoint = translation_endpoint(target.provider, target.model or exchange.model, stream=exchange.stream)
        assert endpoint is not None, "the router chooses targets that can be translated to"
        turns = None
        if not self._strict:
            turns = turns_for(exchange, codec_of(endpoint), model, target.provider.options, _owner(call))
        kept = None if turns is None else turns.find()
        if turns is not None and kept is not None:
            try:
                rest, kept = await run_by_size(turns.new_bytes(kept), partial(turns.decode_rest, kept), exchange)
                return await self._prepare(exchange, call, endpoint, rest, turns, kept)
            except (NeedsAllMessages, BadRequest):
                pass  # the whole request tells what is wrong
        request, turn = await self.request(exchange)
        return await self._prepare(exchange, call, endpoint, request, turns, turn=turn)

    async def _prepare(
        self,
        exchange: Exchange,
        call: Call,
        endpoint: Endpoint,
        request: Request,
        turns: TurnMemory | None,
        kept: KeptTurns | None = None,
        *,
        turn: Turn | None = None,
    ) -> TranslatedCall:
        """Translate `request`, of which the beginning may be `kept`, and keep that of the next one in `turns`."""
        target, provider = call.target, codec_of(endpoint)
        reasoning = await self._reasoning.fetch(identity_of(exchange), provider.seal, request)
        translation = Translation(
            request,
            codec_of(exchange.endpoint),
            provider,
            options=target.provider.options,
            strict=self._strict,
            reasoning=reasoning or {},
            owner=_owner(call),
            reply_id=None if turn is None else turn.response_id,
            framing=endpoint.dialect.framing,
            repeats=turns is not None,
            kept=kept,
        )
        for media in translation.linked_media():
            await self._embed_media(media, exchange)
        view = exchange.view()
        model = target.model or exchange.model or ""
        size_bytes = len(exchange.held.raw) if turns is None or kept is None else turns.new_bytes(kept)
        view.body = body = Body(await run_by_size(size_bytes, translation.request, model))
        if turns is not None and translation.kept is not None and reasoning is not None:
            turns.keep(translation.kept)
        exchange.hold(len(body.raw))
        call.held_bytes += len(body.raw)
        translation.losses.dropped[:0] = call.dropped
        call.dropped, call.summary = translation.losses.dropped, translation.summary
        call.cache_marks = translation.losses.cache_marks
        translation.summary.id = None if turn is None else turn.response_id
        view.method, view.endpoint = "POST", endpoint
        view.query = endpoint.dialect.stream_query if exchange.stream else None
        view.path = f"/v1{endpoint.path_for(model)}"
        view.headers = request_headers(exchange.headers, provider.key_header, provider.key_scheme)
        return TranslatedCall(view, translation, turn)

    async def _embed_media(self, media: Media, exchange: Exchange) -> None:
        """Put the content of `media` in the place of its URL."""
        assert media.url is not None
        if self._fetcher is None:
            message = (
                f"{media.path}: this model's provider takes {_A[media.kind]} only inside the request. Send it as "
                "base64, or set translation.fetch_media in the proxy's configuration"
            )
            raise Untranslatable(message, param=media.path)
        fetched = await self._fetcher.fetch(media.url, media.path, exchange.hold)
        media.media_type, media.data, media.url = fetched.media_type, fetched.data, None

    async def request(self, exchange: Exchange) -> tuple[Request, Turn | None]:
        """Return the client's request in neutral form, decoded once, and its turn. Raises BadRequest."""
        return await self._requests.read(exchange)

    async def answer_stored(self, exchange: Exchange, *, alone: bool) -> Answer | None:
        """Answer a call about a response or a conversation that is stored here; None for what belongs to a provider.

        `alone` says that no provider stores any.
        """
        return await self._conversation_calls.answer(exchange, alone=alone)

    async def answer(
        self, exchange: Exchange, call: TranslatedCall, answer: Answer, *, content: bool = False
    ) -> Answer:
        """Return the provider's answer for the client, as far as it must be certain before anything of it is sent: a
        stream with its first event, with `content` with its first content.

        Raises ProxyError when the answer cannot be read, or when its stream fails before its first event.
        """
        try:
            if "Content-Encoding" in answer.headers:
                answer.stream, answer.body = DecodedStream(answer), b""
            if answer.status >= 400:
                return await self._error(exchange, call.translation, answer)
            if answer.status in BODILESS_STATUSES:
                raise UpstreamError(f"The provider answered {answer.status}, which has no body")
            if answer.framing is not None and exchange.stream:
                return await self._streamed(exchange, call, answer, content=content)
            return await self._whole(exchange, call, answer)
        except BaseException:
            answer.close()
            raise

    async def _error(self, exchange: Exchange, translation: Translation, answer: Answer) -> Answer:
        body = await self._read(exchange, answer, ERROR_BYTES)
        answer.close()  # a longer one is not read to its end
        error = translation.error(answer.status, body)
        if exchange.call is not None:
            exchange.call.code = error.code
        assert exchange.endpoint is not None
        dialect = exchange.endpoint.dialect
        written = dialect.write_error(error, exchange.request_id)
        translation.summary.error = error.message
        headers = answer_headers(answer, translation.losses.dropped, "application/json")
        headers.update(dialect.error_headers(error))
        return Answer(status=dialect.status_of(error), headers=headers, body=written, summary=translation.summary)

    async def _whole(self, exchange: Exchange, call: TranslatedCall, answer: Answer) -> Answer:
        translation = call.translation
        body, began_s = await self._read(exchange, answer, REPLY_BYTES), time.monotonic()
        framing = _framing(exchange) if exchange.stream else None
        if framing is not None:
            content, type_ = await run_by_size(len(body), translation.reply_as_stream, body), framing.content_type
        else:
            content, type_ = await run_by_size(len(body), translation.reply, body), "application/json"
        exchange.hold(len(content))
        await self._finish(exchange, call)
        if exchange.call is not None:
            exchange.call.translate_s += time.monotonic() - began_s
        headers = answer_headers(answer, translation.losses.dropped, type_)
        return Answer(status=answer.status, headers=headers, body=content, framing=framing, summary=translation.summary)

    async def _finish(self, exchange: Exchange, call: TranslatedCall) -> None:
        """Store what later requests may name of an answer that is whole, and mark it as complete."""
        translation, provider = call.translation, codec_of(call.exchange.endpoint)
        if call.turn is not None and translation.response is not None:
            await self._conversations.finish(call.turn, translation.response)
        made = exchange.call
        owner = "" if made is None else _owner(made)
        ids = await self._reasoning.keep(identity_of(exchange), provider.seal, translation.content, owner)
        if ids and self._bind_calls is not None:
            await self._bind_calls(exchange, ids)
        translation.summary.complete = True

    async def recall(self, exchange: Exchange, answer: Answer, route: Route) -> None:
        """Store an answer of a cache to a request that would have been translated, as if it were fresh.

        The cache may keep answers longer than the store keeps responses, or belong to another process.
        """
        endpoint = exchange.endpoint
        if endpoint is None or not endpoint.dialect.stateful:
            return
        if endpoint.untranslated or not any(self.needed(exchange, target) for target in route.targets):
            return
        if answer.framing is None:
            await self._store_recalled(exchange, answer.body)
            return
        recalled = RecalledStream(answer, exchange, endpoint.dialect, partial(self._store_recalled, exchange))
        await recalled.add(answer.body)
        if answer.stream is not None:
            answer.stream = recalled

    async def _store_recalled(self, exchange: Exchange, body: bytes | None) -> None:
        response = None if body is None else read_value(body)
        with contextlib.suppress(BadRequest):  # an earlier response is unknown: then nobody can continue this one
            _, turn = await self.request(exchange)
            if turn is not None and isinstance(response, dict):
                await self._conversations.finish(turn, response)

    async def _read(self, exchange: Exchange, answer: Answer, limit_bytes: int) -> bytes:
        """Return the whole body."""
        body = bytearray(answer.body)
        while answer.stream is not None and len(body) < limit_bytes:
            data = await answer.stream.read()
            if not data:
                break
            self._budget.hold(exchange, len(data))
            body += data
        return bytes(body)

    async def _streamed(self, exchange: Exchange, call: TranslatedCall, answer: Answer, *, content: bool) -> Answer:
        translation = call.translation
        frames, stream = translation.stream(), answer.stream
        first = frames.feed(answer.body) if answer.body else b""
        summary = translation.summary
        while frames.failure is None and stream is not None:
            if first and (not content or summary.started or frames.done):
                break
            data = await stream.read()
            first += frames.feed(data) if data else b""
            stream = stream if data else None
        if stream is None:
            first += frames.close()
        if frames.failure is not None:
            raise UpstreamError(frames.failure.message, status=frames.failure.status, code=frames.failure.code)
        framing = _framing(exchange)
        headers = answer_headers(answer, translation.losses.dropped, framing.content_type)
        headers.setdefault("Cache-Control", "no-cache")

        finish = partial(self._finish, exchange, call)
        if frames.done:
            await finish()
        return Answer(
            status=answer.status,
            headers=headers,
            body=first,
            stream=None if stream is None else TranslatedStream(stream, frames, finish),
            framing=framing,
            summary=translation.summary,
        )


def _not_implemented(message: str) -> ProxyError:
    # SDKs repeat a call after any other 5xx.
    return ProxyError(message, status=501, code="not_implemented", headers=(("x-should-retry", "false"),))


def _owner(call: Call) -> str:
    return catalog.seal_owner(call.target.provider.name, call.model or "")


def _framing(exchange: Exchange) -> Framing:
    """Return how streams to this client are cut into frames."""
    assert exchange.endpoint is not None
    return exchange.endpoint.dialect.framing
