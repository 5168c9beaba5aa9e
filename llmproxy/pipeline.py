"""The steps of a request, in order: hooks, route, targets, commit. Everything between the server and the pool.

`answer` returns an Answer whose beginning is certain. Until then nothing is sent and another target may take over;
afterwards none does. It knows no HTTP framing and no vendor.
"""

from __future__ import annotations

import time

from llmproxy.access.permission import hide_names, permitted_route
from llmproxy.answer import Answer, framing_of
from llmproxy.body import Body, ByteStream, StreamedBody
from llmproxy.caching.control import take_settings
from llmproxy.call import Call
from llmproxy.decision_log import DecisionLog
from llmproxy.dialects import catalog
from llmproxy.dialects.model import Fail
from llmproxy.errors import ProxyError, UpstreamError
from llmproxy.exchange import Exchange, MemoryBudget
from llmproxy.middleware.hooks import Hooks
from llmproxy.redaction.echoes import hide_keys, mask_error
from llmproxy.route import Route
from llmproxy.routing.prices import Prices
from llmproxy.routing.router import ResolvedPath, Router
from llmproxy.target import OpenUpstream, Provider, Target, UpstreamRequest, request_fault
from llmproxy.translation.reframing import reframed
from llmproxy.translation.translator import Translator
from llmproxy.upstream.redirects import REDIRECT_STATUSES, follow
from llmproxy.user_code import check_answer, log_failure
from llmproxy.wire.framing import Framing, StreamBeginning
from llmproxy.wire.http import RETRYABLE_STATUSES

PLAIN_BYTES = 64 * 1024
EVENT_BYTES = 1024 * 1024
_REFUSALS = frozenset((400, 401, 403))


class Pipeline:
    """Answers requests as one configuration says. Immutable; a new configuration gets a new one.

    `open_` sends a request upstream: through the connection pool, or through a replayer in its place.
    """

    def __init__(
        self,
        router: Router,
        hooks: Hooks,
        open_: OpenUpstream,
        budget: MemoryBudget,
        translator: Translator,
        prices: Prices,
    ) -> None:
        self.router = router
        self.translator = translator
        self.hooks = hooks
        self.prices = prices
        self._open = open_
        self._budget = budget

    async def answer(self, exchange: Exchange, resolved: ResolvedPath) -> Answer:
        """Route the exchange and get its answer, up to the commit point. Raises ProxyError when there is none."""
        return reframed(exchange, await self._answer(exchange, resolved))

    async def _answer(self, exchange: Exchange, resolved: ResolvedPath) -> Answer:
        if self.hooks.on_request:
            answer = await self._on_request(exchange, resolved)
            if answer is not None:
                return answer
        take_settings(exchange)
        if resolved.provider is None and resolved.endpoint is not None and not resolved.endpoint.model:
            answer = await self.translator.answer_stored(exchange, alone=not self.router.has_responses)
            if answer is not None:
                return answer
        route = exchange.route
        if route is None:
            route = exchange.route = self._route(exchange, resolved)
        if self.hooks.around:
            return await self._around(exchange, route)
        return await self._try_targets(exchange, route)

    async def _around(self, exchange: Exchange, route: Route) -> Answer:
        """Call the route's targets within the middlewares that may answer instead."""
        answer = await self.hooks.call(exchange, lambda each: self._try_targets(each, route))
        if not exchange.calls:
            await self.translator.recall(exchange, answer, route)
        return answer

    async def _on_request(self, exchange: Exchange, resolved: ResolvedPath) -> Answer | None:
        """Call `on_request` of the middlewares, which may answer. One of them may accept a model that no route has, so
        an unknown model is refused only afterwards.
        """
        try:  # contextlib.suppress would cost another microsecond
            exchange.route = self._route(exchange, resolved)
        except ProxyError:
            exchange.route = None
        model, raw = exchange.model, _raw(exchange)
        answer = await self.hooks.request(exchange)
        if isinstance(exchange.body, Body) and exchange.body.raw is not raw:
            chosen = exchange.model
            exchange.read_model()
            if chosen != model:
                exchange.model = chosen
        if exchange.model != model:
            exchange.route = None
        return answer

    def _route(self, exchange: Exchange, resolved: ResolvedPath) -> Route:
        key = exchange.client.key
        try:
            route = self.router.choose(resolved, exchange.model, exchange.headers.get("x-llmproxy-provider"))
            return route if key is None or not key.restricted else permitted_route(key, route, exchange)
        except ProxyError as error:
            if key is not None and error.status == 404:
                hide_names(key, exchange, error)
            if exchange.model is None and isinstance(exchange.body, Body):
                exchange.body.require_object()  # a body that cannot be read names no model either
            raise

    async def _try_targets(self, exchange: Exchange, route: Route) -> Answer:
        """Return the first good answer of the route's targets; else the answer of the last one, or raise its error."""
        targets = route.order(exchange)
        if len(targets) == 1 or isinstance(exchange.body, StreamedBody):
            return await self._try(exchange, route, targets[0])  # a body that streams can be sent only once
        for target in targets[:-1]:
            try:
                answer = await self._try(exchange, route, target)
            except ProxyError as error:
                if error.retryable:
                    continue
                raise
            if answer.status not in RETRYABLE_STATUSES:
                return answer
            answer.close()
        return await self._try(exchange, route, targets[-1])

    async def _try(self, exchange: Exchange, route: Route, target: Target) -> Answer:
        """Make one call to one target, up to the commit point, and report to the route how it went."""
        model = target.model or exchange.model
        call = exchange.call = Call(target=target, model=model, started_s=time.monotonic() - exchange.started_s)
        exchange.calls.append(call)
        try:
            if self.translator.needed(exchange, target):
                answer = await self._translate(exchange, call)
            else:  # bodies travel as they are
                if model is not None:
                    exchange.write_model(model)
                answer = await self._open_call(exchange, call)
                if answer.stream is not None:
                    await self._commit(exchange, answer, answer.stream)
                if answer.framing is not None and answer.framing.begins_with_error(answer.body):
                    answer.close()
                    _raise_first_error(exchange, answer.body)
        except ProxyError as error:
            mask_error(exchange, error)
            call.error = error.code
            raise
        finally:
            call.ended_s = time.monotonic() - exchange.started_s
            route.report(target, call)
        if target.provider.secrets:
            hide_keys(answer, target.provider.secrets)
        return answer

    async def _translate(self, exchange: Exchange, call: Call) -> Answer:
        """Make a call in the dialect of its target."""
        if exchange.endpoint is not None and catalog.untranslated(exchange.endpoint):
            return await self.translator.answer_untranslated(exchange, call)
        translated = await self.translator.prepare(exchange, call)
        answer = await self._open_call(translated.exchange, call)
        return await self.translator.answer(exchange, translated, answer)

    async def _open_call(self, exchange: Exchange, call: Call) -> Answer:
        """Return the provider's answer, as far as its head, to `exchange` as the provider is to see it."""
        provider = call.target.provider
        try:
            if provider.refreshes:
                await provider.ready()
            request = provider.prepare(exchange, call.target)
            answer = None if request is not None else await provider.answer(exchange, call.target)
        except ProxyError:
            raise
        except BaseException as error:
            if not provider.user_defined:
                raise
            raise log_failure(_describe(provider), exchange.id, error) from error
        if provider.user_defined:
            answer = _checked(provider, exchange, request, answer)
        if answer is None:
            assert request is not None, "checked, where it is not ours"
            answer = await self._send(exchange, call, request)
        call.status, call.first_byte_s = answer.status, time.monotonic()
        answer.framing = framing_of(answer.headers, exchange.endpoint, exchange.query, answer.status)
        return answer

    async def _send(self, exchange: Exchange, call: Call, request: UpstreamRequest) -> Answer:
        """Send a request, once more where the provider refused its credentials and others were found."""
        answer = await self._send_once(exchange, call, request)
        if request.renew is not None and answer.status in _REFUSALS and not isinstance(request.body, StreamedBody):
            again = call.target.provider.prepare(exchange, call.target) if await request.renew(answer) else None
            if again is not None:
                answer.close()
                request = again
                answer = await self._send_once(exchange, call, request)
        return answer if request.adapt is None else await request.adapt(answer)

    async def _send_once(self, exchange: Exchange, call: Call, request: UpstreamRequest) -> Answer:
        call.url = request.origin.url + request.target.partition("?")[0]
        if request.complete is not None:
            await request.complete()
        answer = await self._open(request)
        if answer.status in REDIRECT_STATUSES and exchange.endpoint is not None and exchange.endpoint.model:
            answer = await follow(self._open, request, answer, call.target.provider.name)
        return answer

    async def _commit(self, exchange: Exchange, answer: Answer, stream: ByteStream) -> None:
        """Hold the answer until it is certain: a plain body whole or 64 KB of it, a stream's first event."""
        try:
            if answer.framing is None:
                await self._hold_plain(exchange, answer, stream)
            else:
                await self._hold_event(exchange, answer, stream, answer.framing)
        except BaseException:
            stream.close()
            raise

    async def _hold_plain(self, exchange: Exchange, answer: Answer, stream: ByteStream) -> None:
        while len(answer.body) < PLAIN_BYTES:
            data = await stream.read()
            if not data:
                answer.stream = None
                return
            self._budget.hold(exchange, len(data))
            answer.body += data

    async def _hold_event(self, exchange: Exchange, answer: Answer, stream: ByteStream, framing: Framing) -> None:
        """Hold a stream up to its first event. A compressed one is certain with its first bytes: it is not decoded."""
        enough = 1 if "Content-Encoding" in answer.headers else EVENT_BYTES
        if not answer.body:
            answer.body = await self._held_read(exchange, answer, stream)
        if not answer.body or len(answer.body) >= enough or framing.event_end(answer.body) >= 0:
            return  # the usual case, without the cost of the search: 2 µs
        beginning = StreamBeginning(framing)
        beginning.add(answer.body)
        while beginning.size_bytes < enough and not beginning.found:
            data = await self._held_read(exchange, answer, stream)
            if not data:
                break
            beginning.add(data)
        answer.body = beginning.read()

    async def _held_read(self, exchange: Exchange, answer: Answer, stream: ByteStream) -> bytes:
        """Read on, counted as memory. After the end `answer` has no stream."""
        data = await stream.read()
        if data:
            self._budget.hold(exchange, len(data))
        else:
            answer.stream = None
        return data


class LoggedPipeline(Pipeline):
    """The same, with a line in the log for each decision."""

    def __init__(
        self,
        router: Router,
        hooks: Hooks,
        open_: OpenUpstream,
        budget: MemoryBudget,
        translator: Translator,
        prices: Prices,
    ) -> None:
        super().__init__(router, hooks, open_, budget, translator, prices)
        self.decisions = DecisionLog()

    async def answer(self, exchange: Exchange, resolved: ResolvedPath) -> Answer:
        try:
            answer = await super().answer(exchange, resolved)
        except ProxyError as error:
            self.decisions.refused(exchange, error)
            raise
        self.decisions.answered(exchange, answer)
        return answer

    async def _on_request(self, exchange: Exchange, resolved: ResolvedPath) -> Answer | None:
        answer = await super()._on_request(exchange, resolved)
        self.decisions.recognised(exchange)
        return answer

    def _route(self, exchange: Exchange, resolved: ResolvedPath) -> Route:
        route = super()._route(exchange, resolved)
        self.decisions.routed(exchange, route)
        return route

    async def _try(self, exchange: Exchange, route: Route, target: Target) -> Answer:
        self.decisions.called(exchange, target, self.translator.dialect_for(exchange, target))
        try:
            answer = await super()._try(exchange, route, target)
        except ProxyError as error:
            self.decisions.failed(exchange, error)
            raise
        self.decisions.returned(exchange, answer.status)
        return answer


def _raise_first_error(exchange: Exchange, body: bytes) -> None:
    """Raise the error that a stream begins with, as its dialect reads it."""
    codec = None if exchange.endpoint is None else exchange.endpoint.dialect.codec
    for event in () if codec is None else codec.stream_decoder().feed(body):
        if isinstance(event, Fail):
            raise UpstreamError(event.message, status=event.status, code=event.code)


def _describe(provider: Provider) -> str:
    return f"{type(provider).__name__} of provider {provider.name!r}"


def _checked(provider: Provider, exchange: Exchange, request: object, answer: object) -> Answer | None:
    """Return the answer that a user's provider made; None where it made a request. Raises ComponentFailed."""
    if request is None:
        return check_answer(answer, _describe(provider), exchange.id)
    if fault := request_fault(request):
        raise log_failure(_describe(provider), exchange.id, fault)
    return None


def _raw(exchange: Exchange) -> bytes | None:
    return exchange.body.raw if isinstance(exchange.body, Body) else None
