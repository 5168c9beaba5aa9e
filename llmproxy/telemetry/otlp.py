"""Reports exchanges to an OpenTelemetry collector, over OTLP/HTTP.

The event loop adds up figures and, for what is sampled, queues a record; a thread makes spans of it and sends them. A
collector that cannot be reached loses what does not fit into the queue, which is logged once. Imported only where
`telemetry.otlp` is configured: the SDK takes some 0.2 s. Begin reading at `OtlpReporter.end`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import assert_never

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from llmproxy.body import Body
from llmproxy.exchange import Exchange
from llmproxy.records.background_writer import BackgroundWriter
from llmproxy.records.entry import entry_of
from llmproxy.redaction.masking import all_secrets_of
from llmproxy.telemetry.measurements import Measurements, error_kind
from llmproxy.telemetry.metric_points import metrics_of
from llmproxy.telemetry.names import names_of
from llmproxy.telemetry.settings import OtlpSettings
from llmproxy.telemetry.spans import EndedExchange, SpanWriter
from llmproxy.trace_context import TRACEPARENT, TRACESTATE, continued_trace, new_trace
from llmproxy.transcripts.preview import ExchangeBodies

log = logging.getLogger(__name__)

CONTENT_BYTES = 64 * 1024
_CLOSE_S = 2.0
_BATCH = 512
_INSTANCE = "service.instance.id"
_NOTE = "llmproxy.otlp.content"


@dataclass(slots=True)
class _Sent:
    """The beginning of an answer."""

    parts: list[bytes] = field(default_factory=list)
    size_bytes: int = 0
    short: bool = False


class CollectorSink:
    """Sends spans and metrics, in a thread. `lost` counts what the collector did not take."""

    def __init__(self, settings: OtlpSettings, spans: SpanWriter) -> None:
        self.lost = 0
        self.fault: str | None = None
        self._writer = spans
        self._spans: list[ReadableSpan] = []
        headers = dict(settings.headers) or None
        base = None if settings.endpoint is None else settings.endpoint.rstrip("/")
        self._span_exporter = OTLPSpanExporter(endpoint=base and f"{base}/v1/traces", headers=headers)
        self._metric_exporter = OTLPMetricExporter(endpoint=base and f"{base}/v1/metrics", headers=headers)
        self._endpoint = base or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")
        # They log each failure with its traceback; here it is said once.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)

    def write(self, item: EndedExchange | MetricsData) -> None:
        """Take one exchange, or send metrics."""
        if isinstance(item, EndedExchange):
            self._spans += self._writer.spans_of(item)
            if len(self._spans) >= _BATCH:
                self.flush()
        elif isinstance(item, MetricsData):
            self._note(self._metric_exporter.export(item) is MetricExportResult.SUCCESS, 0)
        else:
            assert_never(item)

    def flush(self) -> None:
        """Send the spans that wait."""
        if self._spans:
            spans, self._spans = self._spans, []
            self._note(self._span_exporter.export(spans) is SpanExportResult.SUCCESS, len(spans))

    def close(self) -> None:
        self.interrupt()

    def interrupt(self) -> None:
        """Give up what is being sent, and send nothing more."""
        for exporter in (self._span_exporter, self._metric_exporter):
            with contextlib.suppress(OSError):
                exporter.shutdown()

    def _note(self, sent: bool, spans: int) -> None:
        if sent:
            if self.fault is not None:
                log.info("the collector at %s takes telemetry again; %d spans were lost", self._endpoint, self.lost)
            self.fault = None
            return
        self.lost += spans
        if self.fault is None:
            self.fault = f"the collector at {self._endpoint} does not take telemetry"
            log.warning("%s; spans are lost until it does. Requests are served all the same", self.fault)


def _with_instance(resource: Resource, worker: int | None) -> Resource:
    """Return the resource with an id that no other worker has."""
    if worker is None:
        return resource
    configured = resource.attributes.get(_INSTANCE)  # by OTEL_RESOURCE_ATTRIBUTES, or the SDK
    return resource.merge(Resource({_INSTANCE: f"{configured}-{worker}" if configured else str(uuid.uuid4())}))


class OtlpReporter:
    """Reports exchanges with models, not those with our own pages. `worker` is the number of the worker that this
    process is, where there are several: a collector must tell their figures apart."""

    def __init__(self, settings: OtlpSettings, version: str, worker: int | None = None) -> None:
        self._settings = settings = settings.from_environment(os.environ)
        names = names_of(settings.names or "older")
        self.watches_chunks = settings.content and settings.traces
        self._ratio = (settings.sample_ratio or 0.0) if settings.traces else 0.0
        self._names = names
        service = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": "llmproxy"}
        self._resource = _with_instance(Resource.create({**service, "service.version": version}), worker)
        self._scope = InstrumentationScope("llmproxy", version)
        self._started_ns = time.time_ns()
        self._measured = Measurements()
        self._sink = CollectorSink(settings, SpanWriter(names=names, resource=self._resource, scope=self._scope))
        self._writer: BackgroundWriter[EndedExchange | MetricsData] = BackgroundWriter(
            "telemetry", self._sink, settings.queue
        )
        self._sending: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the thread, and sending metrics from time to time."""
        self._writer.start()
        if self._settings.metrics:
            self._sending = asyncio.get_running_loop().create_task(self._send_metrics())

    async def close(self) -> None:
        """Send the rest, for two seconds at most."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
            self._put_metrics()
        giving_up = asyncio.get_running_loop().call_later(_CLOSE_S, self._sink.interrupt)
        await self._writer.close()
        giving_up.cancel()

    def describe(self) -> Mapping[str, object]:
        """Return its state for `/health`."""
        state = self._writer.describe()
        return {**state, "lost": self._writer.lost + self._sink.lost, "fault": self._sink.fault or state["fault"]}

    def begin(self, exchange: Exchange) -> None:
        """Find the trace of an exchange, or begin one."""
        header = exchange.headers.get(TRACEPARENT)
        if header is not None and self._settings.follows_client:
            exchange.trace = continued_trace(header)
            if exchange.trace is not None:
                return
        if self._ratio and (self._ratio >= 1 or random.random() < self._ratio):
            exchange.trace = new_trace()

    def chunk(self, exchange: Exchange, data: bytes) -> None:
        """Keep the beginning of an answer that is traced."""
        if exchange.trace is None or not exchange.trace.sampled:
            return
        sent = exchange.notes.setdefault(_NOTE, _Sent())
        assert isinstance(sent, _Sent)
        if sent.size_bytes + len(data) > CONTENT_BYTES:
            sent.short = True
        elif not sent.short:
            sent.size_bytes += len(data)
            sent.parts.append(data)

    def end(self, exchange: Exchange) -> None:
        """Report an exchange that ended."""
        if exchange.own:
            return
        if self._settings.metrics:
            self._measured.add(exchange)
        trace = exchange.trace
        if trace is None or not trace.sampled or not self._settings.traces:
            return
        state = exchange.headers.get(TRACESTATE, "") if trace.parent_id is not None else ""
        self._writer.put(
            EndedExchange(
                entry=entry_of(exchange),
                trace=trace,
                state=state,
                template=exchange.template,
                error_type=error_kind(exchange),
                began_s=exchange.began_s,
                calls=tuple((call.span_id or "", call.target.provider.type) for call in exchange.calls),
                bodies=self._bodies(exchange) if self.watches_chunks else None,
            )
        )

    def _bodies(self, exchange: Exchange) -> ExchangeBodies | None:
        """Return the conversation, where it is one, and not too long."""
        endpoint, body, sent = exchange.endpoint, exchange.body, exchange.notes.pop(_NOTE, None)
        if endpoint is None or endpoint.path not in endpoint.dialect.paths or not isinstance(body, Body):
            return None
        if len(body.raw) > CONTENT_BYTES:
            return None
        sent, answer = sent if isinstance(sent, _Sent) else _Sent(), exchange.answer
        return ExchangeBodies(
            dialect=endpoint.dialect,
            secrets=all_secrets_of(exchange),
            request=body.raw,
            request_encoding=body.encoding,
            response=sent.parts,
            response_encoding="" if answer is None else answer.headers.get("Content-Encoding", ""),
            framing=None if answer is None else answer.framing,
            short=sent.short or exchange.outcome not in ("complete", "error"),
        )

    async def _send_metrics(self) -> None:
        while True:
            await asyncio.sleep(self._settings.interval_s or 60.0)
            self._put_metrics()

    def _put_metrics(self) -> None:
        if self._measured.by_kind:
            times_ns = (self._started_ns, time.time_ns())
            self._writer.put(metrics_of(self._measured, self._names, self._resource, self._scope, times_ns))
