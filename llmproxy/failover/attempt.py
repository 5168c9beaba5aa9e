"""One attempt: one call to one target on behalf of an exchange, up to the commit point.

Same dialect: the bytes as they came, but for what the target has of its own; other dialect: through the translator. It
decides nothing; `attempt_series.py` says what happens after an attempt that failed. Begin reading at `Attempts.make`.
"""

from __future__ import annotations

import time
from dataclasses import replace

from llmproxy.answer import Answer, close_on_failure, framing_of, list_dropped
from llmproxy.body import Body, StreamedBody
from llmproxy.call import Call
from llmproxy.decision_log import DecisionLog
from llmproxy.dialects import catalog
from llmproxy.dialects.stream_events import Fail
from llmproxy.errors import ProxyError, UpstreamError, http_only
from llmproxy.exchange import Exchange, MemoryBudget
from llmproxy.failover.commit_point import CommitPoint
from llmproxy.redaction.echoes import hide_keys, mask_error
from llmproxy.route import Route
from llmproxy.routing.sealed_history import SealedHistory, history_of
from llmproxy.target import OpenUpstream, Provider, Target, UpstreamRequest, request_fault
from llmproxy.trace_context import TRACEPARENT, TRACESTATE, TraceContext, new_span_id
from llmproxy.translation.translator import Translator
from llmproxy.upstream.redirects import REDIRECT_STATUSES, follow
from llmproxy.user_code import check_answer, log_failure
from llmproxy.wire.retry_after import retry_after_s

_REFUSALS = frozenset((400, 401, 403))
# Statuses that another credential of the provider may mend: refused, not paid, not allowed, at its limit.
_BAD_REQUEST, _AT_LIMIT = 400, 429
_OF_CREDENTIAL = frozenset({401, 402, 403, _AT_LIMIT})


class Attempts:
    """Makes calls. `open_` sends a request upstream: through the connection pool, or a replayer in its place."""

    def __init__(self, open_: OpenUpstream, budget: MemoryBudget, translator: Translator) -> None:
        self._open = open_
        self._commit = CommitPoint(budget)
        self._translator = translator

    async def make(self, exchange: Exchange, route: Route, target: Target) -> Answer:
        """Make one call to one target, up to the commit point, and report to the route how it went."""
        model = target.model or exchange.model
        call = exchange.call = Call(target=target, model=model, started_s=time.monotonic() - exchange.started_s)
        exchange.calls.append(call)
        if target.health is not None:
            target.health.running += 1
            call.running = True
        try:
            history, content = history_of(exchange), route.policy.first_token_s is not None
            if history is None:
                answer = await self._answer_as_it_is(exchange, call, content=content)
            else:
                answer = await self._answer_sealed(exchange, call, history, content=content)
        except BaseException as error:
            call.end_running()
            if isinstance(error, ProxyError):
                mask_error(exchange, error)
                call.error = error.code
            raise
        finally:
            call.ended_s = time.monotonic() - exchange.started_s
            route.report(target, call)
        if answer.stream is None and answer.upgraded is None:
            call.end_running()
        if target.provider.secrets:
            hide_keys(answer, target.provider.secrets)
        return answer

    async def _answer_sealed(self, exchange: Exchange, call: Call, history: SealedHistory, *, content: bool) -> Answer:
        """Return the answer to a request with sealed thinking, which is sent without what the target refuses of it."""
        dialect = self._translator.dialect_of(exchange, call.target)
        body = None if dialect is None else await history.body_for(exchange, call, dialect)
        if body is None:
            return await self._answer_as_it_is(exchange, call, content=content)
        exchange.hold(len(body.raw))
        call.held_bytes += len(body.raw)
        own, exchange.body = exchange.body, body
        try:
            answer = await self._answer_as_it_is(exchange, call, content=content)
        finally:
            exchange.body = own
        list_dropped(answer.headers, call.dropped)
        return answer

    async def _answer_as_it_is(self, exchange: Exchange, call: Call, *, content: bool) -> Answer:
        """Return the target's answer, which is certain; with `content` a stream from its first content on."""
        embeddings = self._translator.embeddings(exchange, call)
        if embeddings is not None:
            return await embeddings.answer(lambda sent: self._open_call(exchange, sent, call))
        if self._translator.needed(exchange, call.target):
            return await self._translate(exchange, call, content=content)
        if call.model is not None:  # else bodies travel as they are
            exchange.write_model(call.model)
        answer = await self._open_call(exchange, exchange, call)
        if answer.stream is not None:
            before_bytes = exchange.held_bytes
            await self._commit.hold(exchange, answer, answer.stream, content=content)
            call.held_bytes += exchange.held_bytes - before_bytes
        if answer.framing is not None and answer.framing.begins_with_error(answer.body):
            answer.close()
            raise_first_error(exchange, answer.body)
        return answer

    async def _translate(self, exchange: Exchange, call: Call, *, content: bool) -> Answer:
        """Make a call in the dialect of its target."""
        if exchange.endpoint is not None and exchange.endpoint.untranslated:
            return await self._translator.answer_untranslated(exchange, call)
        began_s = time.monotonic()
        translated = await self._translator.prepare(exchange, call)
        call.translate_s += time.monotonic() - began_s
        answer = await self._open_call(exchange, translated.exchange, call)
        return await self._translator.answer(exchange, translated, answer, content=content)

    async def _open_call(self, exchange: Exchange, sent: Exchange, call: Call) -> Answer:
        """Return the provider's answer, as far as its head, to `exchange`, which the provider is to see as `sent`."""
        target = call.target
        provider = target.provider
        if target.extra_body or target.extra_headers:
            sent = with_extras(exchange, sent, call)
        if exchange.trace is not None:
            sent = within_trace(sent, exchange.trace, call)
        request: UpstreamRequest | None
        answer: Answer | None = None
        if provider.user_defined or provider.refreshes:
            request, answer = await _prepared(provider, sent, target)
        elif (request := provider.prepare(sent, target)) is None:
            answer = await provider.answer(sent, target)
        if answer is None:
            assert request is not None, "checked, where it is not ours"
            answer = await self._send(sent, call, request)
        elif sent.upgrade:
            raise http_only(f"The provider {provider.name!r} has no WebSockets")
        else:
            note_limits(call, answer)
        call.status, call.first_byte_s = answer.status, time.monotonic()
        if answer.status >= 400:
            note_wait(call, answer)
        answer.framing = framing_of(answer.headers, sent.endpoint, sent.query, answer.status)
        return answer

    async def _send(self, exchange: Exchange, call: Call, request: UpstreamRequest) -> Answer:
        """Send a request, once more where the provider refused its credentials and others were found."""
        provider = call.target.provider
        answer = await self._send_once(exchange, call, request)
        if request.renew is not None and answer.status in _REFUSALS and not isinstance(request.body, StreamedBody):
            renewed = await close_on_failure(request.renew(answer), answer)
            again = provider.prepare(exchange, call.target) if renewed else None
            if again is not None:
                answer.close()
                request = again
                answer = await self._send_once(exchange, call, request)
        note_limits(call, answer)
        if provider.rotates:
            call.credential = provider.credential_mark(request)
        may_refuse = provider.rotates and answer.status == _BAD_REQUEST
        of_credential = may_refuse and await close_on_failure(provider.refuses_credential(answer), answer)
        if of_credential or answer.status in _OF_CREDENTIAL:
            rest_s = retry_after_s(answer.headers) or call.used_up_s
            call.other_credential = provider.replace_credential(request, answer.status, rest_s)
            if call.credential and call.credential == exchange.credential and answer.status == _AT_LIMIT:
                call.other_credential = False  # what the request names exists for this one alone
        elif call.limits and call.used_up_s is not None and answer.status < 400:
            call.other_credential = provider.replace_credential(request, _AT_LIMIT, call.used_up_s)
        if call.other_credential is False:
            call.credentials_rest_s = provider.credentials_rest_s()
        return answer if request.adapt is None else await close_on_failure(request.adapt(answer), answer)

    async def _send_once(self, exchange: Exchange, call: Call, request: UpstreamRequest) -> Answer:
        call.url = request.origin.url + request.target.partition("?")[0]
        if call.target.timeouts:
            request.timeouts = replace(request.origin.timeouts, **dict(call.target.timeouts))
        request.upgrade = exchange.upgrade
        if request.complete is not None:
            await request.complete()
        answer = await self._open(request)
        if (
            answer.status in REDIRECT_STATUSES
            and not request.upgrade
            and exchange.endpoint is not None
            and exchange.endpoint.model
        ):
            answer = await follow(self._open, request, answer, call.target.provider.name)
        return answer


class LoggedAttempts(Attempts):
    """The same, with lines in the log for each call."""

    _decisions = DecisionLog()

    async def make(self, exchange: Exchange, route: Route, target: Target) -> Answer:
        self._decisions.called(exchange, target, self._translator.dialect_for(exchange, target))
        try:
            answer = await super().make(exchange, route, target)
        except ProxyError as error:
            self._decisions.failed(exchange, error)
            raise
        self._decisions.returned(exchange, answer.status)
        return answer


def note_wait(call: Call, answer: Answer) -> None:
    """Note in the call how long its provider asks to wait, in an answer that is an error."""
    wait_s = retry_after_s(answer.headers)
    if wait_s is None and answer.status == _AT_LIMIT:
        wait_s = call.used_up_s
    call.retry_after_s = None if wait_s is None else min(wait_s, call.credentials_rest_s)


def note_limits(call: Call, answer: Answer) -> None:
    """Note in the call what its provider says of its limits; those of clients' own credentials are not ours."""
    target = call.target
    if target.health is not None and not target.provider.forwards_credentials:
        call.limits = catalog.limit_readings(answer.headers, time.time())


def first_error(exchange: Exchange, body: bytes) -> Fail | None:
    """Return the error that the stream in `body` begins with, as its dialect reads it; None where it begins with
    anything else."""
    codec = None if exchange.endpoint is None else exchange.endpoint.dialect.codec
    events = () if codec is None else codec.stream_decoder().feed(body)
    return next((event for event in events if isinstance(event, Fail)), None)


def raise_first_error(exchange: Exchange, body: bytes) -> None:
    """Raise the error that a stream begins with."""
    if (event := first_error(exchange, body)) is not None:
        raise UpstreamError(event.message, status=event.status, code=event.code)


def with_extras(exchange: Exchange, sent: Exchange, call: Call) -> Exchange:
    """Return `sent` with the members and headers that the target of `call` has of its own; all other bytes stay as they
    are. What that takes in memory is counted for `exchange`."""
    view, target = sent.view(), call.target
    if target.extra_headers:
        view.headers = sent.headers.copy()
        view.headers.update(target.extra_headers)
    body = sent.body
    if target.extra_body and isinstance(body, Body) and body.members:
        view.body = body = body.copy()
        for name, raw in target.extra_body:
            body.replace(name, raw)
        exchange.hold(len(body.raw))
        call.held_bytes += len(body.raw)
    return view


def within_trace(sent: Exchange, trace: TraceContext, call: Call) -> Exchange:
    """Return `sent` with the headers that make the call a part of the trace, as a span of its own where it is
    sampled."""
    view = sent.view()
    view.headers = sent.headers.copy()
    call.span_id = new_span_id() if trace.sampled else None
    view.headers[TRACEPARENT] = trace.header(call.span_id or trace.span_id)
    if trace.parent_id is None:
        view.headers.popall(TRACESTATE, None)  # of a trace that was not continued
    return view


async def _prepared(provider: Provider, sent: Exchange, target: Target) -> tuple[UpstreamRequest | None, Answer | None]:
    """Return the request, or its own answer, of a provider that refreshes its credentials, or is a user's."""
    try:
        if provider.refreshes:
            await provider.ready()
        request = provider.prepare(sent, target)
        answer = None if request is not None else await provider.answer(sent, target)
    except ProxyError:
        raise
    except BaseException as error:
        if not provider.user_defined:
            raise
        raise log_failure(_describe(provider), sent.id, error) from error
    if provider.user_defined:
        answer = _checked(provider, sent, request, answer)
    return request, answer


def _describe(provider: Provider) -> str:
    return f"{type(provider).__name__} of provider {provider.name!r}"


def _checked(provider: Provider, exchange: Exchange, request: object, answer: object) -> Answer | None:
    """Return the answer that a user's provider made; None where it made a request. Raises ComponentFailed."""
    if request is None:
        return check_answer(answer, _describe(provider), exchange.id)
    if fault := request_fault(request):
        raise log_failure(_describe(provider), exchange.id, fault)
    return None
