"""Traces and metrics of the running program, as a real OTLP receiver gets them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import vendors
from tests.support.collector import Collector, attributes
from tests.support.program import ROOT, Program, clean_environment
from tests.support.provider import Upstream
from tests.support.redis_server import free_port
from tests.support.waiting import until

pytestmark = pytest.mark.ledger("O4")
CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {"model": "gpt-x", "messages": [{"role": "user", "content": "my key is sk-client-4411"}]}
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def config(upstream: Upstream, telemetry: str) -> str:
    return f"""
providers:
  - {{name: main, type: openai, base_url: "{upstream.url}/v1", api_key: sk-up-77aa, models: ["gpt-*"]}}
  - {{name: claude, type: anthropic, base_url: "{upstream.url}", api_key: sk-ant-up-77aa}}
models: [{{name: either, targets: [main/gpt-1, main/gpt-2]}}]
telemetry: {telemetry}
"""


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def traced(
    lasting_upstream: Upstream, collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    settings = f'{{otlp: {{endpoint: "{collector.url}", content: true, names: latest, metrics_interval: 100ms}}}}'
    extra = {
        "OTEL_SERVICE_NAME": "gateway",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-collector=c-1",
    }
    with Program(tmp_path_factory.mktemp("traced"), config=config(lasting_upstream, settings), extra=extra) as program:
        yield program


def spans(collector: Collector, trace_id: str, count: int) -> list[Any]:
    """Return the spans of a trace, once they are there."""
    until(lambda: len(collector.of_trace(trace_id)) >= count, f"{count} spans of {trace_id}")
    return collector.of_trace(trace_id)


def traceparent(number: int, flags: str = "01") -> tuple[str, str]:
    trace_id = f"{TRACE[:-2]}{number:02x}"
    return trace_id, f"traceparent: 00-{trace_id}-{PARENT}-{flags}"


def test_a_request_is_a_span_below_the_clients_and_its_call_one_below_that(
    traced: Program, collector: Collector, upstream: Upstream
) -> None:
    trace_id, header = traceparent(1)
    answer = traced.post(CHAT, {**ASK, "stream": True}, header, "tracestate: a=1", "x-session-id: s-7")
    assert answer.status == 200
    served, call = spans(collector, trace_id, 2)
    assert (served.name, served.parent_span_id.hex()) == (f"POST {CHAT}", PARENT)
    assert (call.name, call.parent_span_id) == ("chat gpt-x", served.span_id)
    assert served.start_time_unix_nano <= call.start_time_unix_nano <= call.end_time_unix_nano
    facts = attributes(call)
    assert (facts["gen_ai.provider.name"], facts["gen_ai.request.model"]) == ("openai", "gpt-x")
    assert (facts["gen_ai.operation.name"], facts["gen_ai.conversation.id"]) == ("chat", "s-7")
    assert facts["gen_ai.request.stream"] is True and facts["gen_ai.response.finish_reasons"] == ["stop"]
    assert attributes(served)["http.response.status_code"] == 200
    sent = upstream.only
    assert sent.value("traceparent") == f"00-{trace_id}-{call.span_id.hex()}-01"
    assert sent.value("tracestate") == "a=1" and call.trace_state == "a=1"


def test_tokens_and_the_conversation_are_told_with_keys_masked(
    traced: Program, collector: Collector, upstream: Upstream
) -> None:
    trace_id, header = traceparent(2)
    traced.post(CHAT, ASK, header, "Authorization: Bearer sk-client-4411")
    facts = attributes(spans(collector, trace_id, 2)[1])
    assert (facts["gen_ai.usage.input_tokens"], facts["gen_ai.usage.output_tokens"]) == (vendors.IN, vendors.OUT)
    asked = json.loads(str(facts["gen_ai.input.messages"]))
    assert asked[0]["role"] == "user" and asked[0]["parts"][0]["content"].startswith("my key is ***")
    assert json.loads(str(facts["gen_ai.output.messages"]))[0]["role"] == "assistant"
    assert "sk-" not in str([attributes(each) for each in collector.of_trace(trace_id)])


def test_each_attempt_has_a_span_and_the_failed_one_says_why(
    traced: Program, collector: Collector, upstream: Upstream
) -> None:
    upstream.next(vendors.failure(500, "Internal Server Error"))
    trace_id, header = traceparent(3)
    assert traced.post(CHAT, {**ASK, "model": "either"}, header).status == 200
    _, failed, good = spans(collector, trace_id, 3)
    assert (attributes(failed)["error.type"], failed.status.code) == ("500", 2)
    assert "error.type" not in attributes(good) and attributes(good)["llmproxy.attempt"] == 2
    assert {each.value("traceparent") for each in upstream.requests} == {
        f"00-{trace_id}-{each.span_id.hex()}-01" for each in (failed, good)
    }


def test_a_trace_goes_on_in_a_translated_call(traced: Program, collector: Collector, upstream: Upstream) -> None:
    trace_id, header = traceparent(4)
    assert traced.post("/v1/messages", {**ASK, "max_tokens": 5}, header).status == 200
    call = spans(collector, trace_id, 2)[1]
    assert upstream.only.value("traceparent") == f"00-{trace_id}-{call.span_id.hex()}-01"


def test_what_the_client_does_not_sample_is_not_sampled_here(
    traced: Program, collector: Collector, upstream: Upstream
) -> None:
    left_out, header = traceparent(5, "00")
    traced.post(CHAT, ASK, header)
    assert upstream.only.value("traceparent") == f"00-{left_out}-{PARENT}-00"
    after, header = traceparent(6)
    traced.post(CHAT, ASK, header)
    spans(collector, after, 2)
    assert collector.of_trace(left_out) == []


def test_the_resource_and_the_headers_come_from_the_usual_variables(
    traced: Program, collector: Collector, upstream: Upstream
) -> None:
    trace_id, header = traceparent(7)
    traced.post(CHAT, ASK, header)
    spans(collector, trace_id, 2)
    assert collector.resources[-1]["service.name"] == "gateway"
    assert collector.resources[-1]["deployment.environment"] == "test"
    assert collector.headers[-1]["x-collector"] == "c-1"


def test_durations_and_tokens_are_metrics(traced: Program, collector: Collector, upstream: Upstream) -> None:
    traced.post(CHAT, {**ASK, "model": "gpt-measured"})

    def measured() -> list[Any]:
        metric = collector.latest().get("gen_ai.client.inference.duration")
        points = [] if metric is None else metric.histogram.data_points
        return [each for each in points if attributes(each)["gen_ai.request.model"] == "gpt-measured"]

    until(lambda: bool(measured()), "the metrics of a call")
    assert measured()[0].count == 1 and measured()[0].sum > 0
    tokens = collector.latest()["gen_ai.client.inference.usage.input_tokens"].sum
    assert tokens.is_monotonic and sum(each.as_int for each in tokens.data_points) >= vendors.IN


def test_older_names_are_the_default_and_only_what_is_sampled_is_traced(tmp_path: Path, upstream: Upstream) -> None:
    with Collector() as collector:
        extra = {"ENABLE_TELEMETRY": "true", "PROMETHEUS_PORT": "0", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        extra |= {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}
        with Program(tmp_path, config=config(upstream, "{}"), extra=extra) as program:
            for _ in range(5):
                assert program.post(CHAT, ASK).status == 200
            trace_id, header = traceparent(8)
            program.post(CHAT, ASK, header)
        assert [each.trace_id.hex() for each in collector.spans] == [trace_id] * 2, "sent before it ends"
        facts = attributes(collector.spans[1])
        assert facts["gen_ai.system"] == "openai" and "gen_ai.prompt" not in facts
        points = collector.latest()["gen_ai.client.token.usage"].histogram.data_points
        assert {attributes(each)["gen_ai.token.type"] for each in points} == {"input", "output"}
        assert sum(each.count for each in points) == 12


def test_a_collector_that_is_not_there_is_said_once_and_holds_up_nothing(tmp_path: Path, upstream: Upstream) -> None:
    settings = f'{{otlp: "http://127.0.0.1:{free_port()}"}}'
    extra = {"OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    with Program(tmp_path, config=config(upstream, settings), extra=extra) as program:
        for number in range(3):
            assert program.post(CHAT, ASK).status == 200
            until(lambda count=number: "does not take telemetry" in program.err, "the warning")  # type: ignore[misc]
        health = program.get("/health").json
        assert health["status"] == "degraded" and "does not take telemetry" in health["faults"][0]
    assert program.err.count("does not take telemetry") == 1 and "Traceback" not in program.err


def test_without_the_package_the_start_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "llmproxy.yaml").write_text("providers: [{name: a, type: stub}]\ntelemetry: {otlp: true}\n")
    blocked = tmp_path / "opentelemetry"
    blocked.mkdir()
    (blocked / "__init__.py").touch()
    ended = subprocess.run(
        [sys.executable, "-m", "llmproxy", "validate-config", "llmproxy.yaml"],
        cwd=tmp_path,
        env=clean_environment(tmp_path, {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}),
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert "llmproxy.yaml:2:19: telemetry.otlp: OpenTelemetry is not installed" in ended.stdout + ended.stderr
    assert "pip install 'llmproxy[otel]'" in ended.stdout + ended.stderr
