from __future__ import annotations

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanKind, StatusCode

from llmproxy.errors import ProxyError
from llmproxy.exchange import Exchange
from llmproxy.records.entry import entry_of
from llmproxy.telemetry.measurements import error_kind
from llmproxy.telemetry.names import names_of
from llmproxy.telemetry.spans import EndedExchange, SpanWriter
from llmproxy.trace_context import TraceContext
from tests.metrics.test_counters import ended

WRITER = SpanWriter(names=names_of("older"), resource=Resource({}), scope=InstrumentationScope("x"))


def record(exchange: Exchange) -> EndedExchange:
    return EndedExchange(
        entry=entry_of(exchange),
        trace=TraceContext(trace_id="1" * 32, span_id="2" * 16, parent_id="3" * 16),
        state="",
        template=exchange.template,
        error_type=error_kind(exchange),
        began_s=1.0,
        calls=(("4" * 16, "openai"),),
        bodies=None,
    )


def test_the_call_is_a_client_span_within_the_server_span_of_the_request() -> None:
    served, call = WRITER.spans_of(record(ended(request_id="r")))
    assert (served.kind, call.kind, call.name) == (SpanKind.SERVER, SpanKind.CLIENT, "chat gpt-4o")
    assert served.context is not None and call.parent is not None
    assert call.parent.span_id == served.context.span_id == int("2" * 16, 16)
    assert (served.start_time, served.end_time) == (1_000_000_000, 1_250_000_000)


def test_what_is_unknown_has_no_attribute() -> None:
    _, call = WRITER.spans_of(record(ended(request_id="r")))
    assert call.attributes is not None
    assert not [name for name in call.attributes if "usage" in name or "error" in name or "conversation" in name]


def test_a_failure_has_the_status_and_the_message_of_its_error() -> None:
    failed = ended(request_id="r", status=502, outcome="error", error=ProxyError("no answer", code="upstream_error"))
    served, _ = WRITER.spans_of(record(failed))
    assert (served.status.status_code, served.status.description) == (StatusCode.ERROR, "no answer")
