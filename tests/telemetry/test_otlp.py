from __future__ import annotations

import pytest

from llmproxy.telemetry.otlp import OtlpReporter
from llmproxy.telemetry.settings import OtlpSettings
from tests.metrics.test_counters import ended
from tests.support.collector import Collector

CLIENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(("ratio", "header", "sampled"), [(0.0, "", False), (1.0, "", True), (0.0, CLIENT, True)])
def test_what_is_sampled_has_a_trace(ratio: float, header: str, sampled: bool) -> None:
    reporter, exchange = OtlpReporter(OtlpSettings(sample_ratio=ratio), "1"), ended()
    if header:
        exchange.headers["traceparent"] = header
    reporter.begin(exchange)
    assert (exchange.trace is not None) is sampled


async def test_everything_is_sent_before_the_end() -> None:
    with Collector() as collector:
        reporter = OtlpReporter(OtlpSettings(endpoint=collector.url, sample_ratio=1.0), "1")
        await reporter.start()
        exchange = ended(request_id="r")
        reporter.begin(exchange)
        exchange.calls[0].span_id = "4" * 16
        reporter.end(exchange)
        await reporter.close()
        assert len(collector.spans) == 2 and "gen_ai.client.operation.duration" in collector.latest()
        assert reporter.describe() == {"queued": 0, "lost": 0, "fault": None}


async def test_own_pages_are_not_reported() -> None:
    with Collector() as collector:
        reporter = OtlpReporter(OtlpSettings(endpoint=collector.url), "1")
        await reporter.start()
        exchange = ended(own=True)
        reporter.begin(exchange)
        reporter.end(exchange)
        await reporter.close()
        assert (collector.spans, collector.metrics) == ([], [])


@pytest.mark.parametrize("configured", ["", "service.instance.id=box"])
def test_each_worker_is_an_instance_of_its_own(configured: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", configured)
    reporters = [OtlpReporter(OtlpSettings(), "1", worker) for worker in (None, 1, 2)]
    alone, *ids = [each._resource.attributes.get("service.instance.id") for each in reporters]
    assert len({alone, *ids}) == 3 and None not in ids
    assert not configured or [alone, *ids] == ["box", "box-1", "box-2"]
