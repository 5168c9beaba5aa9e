"""Turns an exchange that ended into spans: one for the client's request, one for each call to a provider.

Runs in a thread. It makes the SDK's finished spans directly, since those of a tracer would have to begin with the
exchange and follow it through its task. Begin reading at `spans_of`.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode

from llmproxy.records.entry import AttemptEntry, Entry
from llmproxy.telemetry.names import operation_name, provider_name
from llmproxy.trace_context import TraceContext
from llmproxy.transcripts.preview import ExchangeBodies, preview

_NS = 1_000_000_000

Attribute = str | bool | int | float | tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedExchange:
    """An exchange that ended, as its spans need it. `calls` are the span ids and types of provider of its calls, in the
    order of the entry's attempts; `bodies` its conversation, where that is exported.
    """

    entry: Entry
    trace: TraceContext
    state: str
    template: str
    error_type: str
    began_s: float
    calls: tuple[tuple[str, str], ...]
    bodies: ExchangeBodies | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanWriter:
    """Makes spans. `names` are the names of attributes by what they say."""

    names: dict[str, str]
    resource: Resource
    scope: InstrumentationScope

    def spans_of(self, ended: EndedExchange) -> list[ReadableSpan]:
        """Return the spans of one exchange, the client's request first."""
        spans = [self._request(ended)]
        for number, (attempt, (span_id, type_)) in enumerate(zip(ended.entry.attempts, ended.calls, strict=False), 1):
            spans.append(self._call(ended, attempt, span_id, type_, number))
        return spans

    def _request(self, ended: EndedExchange) -> ReadableSpan:
        entry, trace = ended.entry, ended.trace
        attributes: dict[str, Attribute | None] = {
            "http.request.method": entry.method,
            "http.route": ended.template or None,
            "url.path": entry.path,
            "http.response.status_code": entry.status,
            "client.address": entry.client.address,
            "user_agent.original": entry.client.agent or None,
            "error.type": ended.error_type or None,
            "llmproxy.request_id": entry.request_id,
            "llmproxy.outcome": entry.outcome,
            "llmproxy.attempts": len(entry.attempts),
            "llmproxy.cost_usd": entry.cost_usd,
            self.names["conversation"]: entry.session,
        }
        failed = (entry.status or 0) >= 500 or entry.outcome in ("broken", "error", "incomplete")
        return self._span(
            f"{entry.method} {ended.template}".strip(),
            SpanKind.SERVER,
            ended,
            (trace.span_id, trace.parent_id),
            (0.0, entry.duration_ms),
            attributes,
            self._status(failed, entry),
        )

    def _call(self, ended: EndedExchange, attempt: AttemptEntry, span_id: str, type_: str, number: int) -> ReadableSpan:
        entry, names = ended.entry, self.names
        last = number == len(entry.attempts)
        model = attempt.model or entry.model or ""
        operation = operation_name(ended.template)
        values: dict[str, Attribute | None] = {
            "operation": operation,
            "provider": provider_name(type_),
            "request_model": model or None,
            "conversation": entry.session,
            "stream": entry.stream,
        }
        if last:
            values |= self._answer(ended)
        attributes: dict[str, Attribute | None] = {names[key]: value for key, value in values.items() if key in names}
        error = attempt.error or (f"{attempt.status}" if (attempt.status or 0) >= 400 else None)
        error = error or (ended.error_type or None if last else None)
        attributes |= {
            "error.type": error,
            "http.response.status_code": attempt.status,
            "server.address": attempt.url.partition("://")[2].partition("/")[0] or None,
            "llmproxy.provider": attempt.provider,
            "llmproxy.attempt": number,
        }
        ended_ms = entry.duration_ms if last or attempt.ended_ms is None else attempt.ended_ms
        return self._span(
            f"{operation} {model}".strip(),
            SpanKind.CLIENT,
            ended,
            (span_id, ended.trace.span_id),
            (attempt.started_ms, ended_ms),
            attributes,
            self._status(error is not None and error != "cancelled", entry if last else None),
        )

    def _answer(self, ended: EndedExchange) -> dict[str, Attribute | None]:
        """Return what is known of the answer, by what it says."""
        entry, usage = ended.entry, ended.entry.usage
        first_ms = entry.first_token_ms
        values: dict[str, Attribute | None] = {
            "response_model": entry.served_model,
            "finish_reasons": (entry.finish_reason,) if entry.finish_reason else None,
            "time_to_first_chunk": None if first_ms is None else (first_ms - entry.attempts[-1].started_ms) / 1000,
        }
        if usage is not None:
            values |= {
                "input_tokens": usage.input,
                "output_tokens": usage.output,
                "cache_read_tokens": usage.cache_read,
                "cache_write_tokens": usage.cache_write,
                "reasoning_tokens": usage.reasoning,
            }
        return values if ended.bodies is None else values | _content(ended.bodies)

    def _status(self, failed: bool, entry: Entry | None) -> Status:
        if not failed:
            return Status(StatusCode.UNSET)
        message = None if entry is None or entry.error is None else entry.error.message
        return Status(StatusCode.ERROR, message)

    def _span(
        self,
        name: str,
        kind: SpanKind,
        ended: EndedExchange,
        ids: tuple[str, str | None],
        times_ms: tuple[float, float],
        attributes: dict[str, Attribute | None],
        status: Status,
    ) -> ReadableSpan:
        began_ns = int(ended.began_s * _NS)
        return ReadableSpan(
            name,
            context=_context(ended, ids[0]),
            parent=None if ids[1] is None else _context(ended, ids[1]),
            resource=self.resource,
            attributes={key: value for key, value in attributes.items() if value is not None},
            kind=kind,
            status=status,
            start_time=began_ns + int(times_ms[0] * 1e6),
            end_time=began_ns + int(max(times_ms) * 1e6),
            instrumentation_scope=self.scope,
        )


def _context(ended: EndedExchange, span_id: str) -> SpanContext:
    state = TraceState.from_header([ended.state]) if ended.state else None
    flags = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(int(ended.trace.trace_id, 16), int(span_id, 16), False, flags, state)


def _content(bodies: ExchangeBodies) -> dict[str, Attribute | None]:
    """Return the last question and its answer, keys masked, in the form of the conventions."""
    seen = preview(bodies)
    parts = [] if seen.answer is None else [{"type": "text", "content": seen.answer}]
    parts += [{"type": "tool_call", "name": name} for name in seen.calls]
    return {
        "input_content": None if seen.question is None else _messages("user", [_text(seen.question)]),
        "output_content": _messages("assistant", parts) if parts else None,
    }


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "content": text}


def _messages(role: str, parts: list[dict[str, str]]) -> str:
    return msgspec.json.encode([{"role": role, "parts": parts}]).decode()
