from __future__ import annotations

from collections.abc import Iterable

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus

from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage
from llmproxy.metrics.counters import Metrics
from llmproxy.metrics.prometheus import render
from tests.metrics.test_counters import ended, recorded
from tests.support.exchanges import new_call

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def scraped(metrics: Metrics, accept: str = "") -> dict[str, float]:
    """Return every sample by its name and labels, as Prometheus reads it: `name{a=1,b=2}`."""
    text, _ = render(metrics, "1.2.3", accept)
    families: Iterable[Metric] = parse_prometheus(text.decode())
    return {
        sample.name + "{" + ",".join(f"{key}={value}" for key, value in sample.labels.items()) + "}": sample.value
        for family in families
        for sample in family.samples
    }


def test_requests_are_counted_by_method_path_and_status() -> None:
    samples = scraped(recorded(ended(), ended(), ended(status=429)))

    assert samples["http_requests_total{method=POST,path=/v1/chat/completions,status=200}"] == 2
    assert samples["http_requests_total{method=POST,path=/v1/chat/completions,status=429}"] == 1


def test_durations_are_a_cumulative_histogram_whose_count_is_that_of_the_requests() -> None:
    samples = scraped(recorded(ended(ended_s=100.003), ended(), ended(ended_s=2000.0)))

    labels = "method=POST,path=/v1/chat/completions,status=200"
    name = "http_request_duration_seconds"
    buckets = [samples[f"{name}_bucket{{le={le},{labels}}}"] for le in ("0.005", "0.1", "0.25", "600.0", "+Inf")]
    assert buckets == [1, 1, 2, 2, 3]
    assert samples[f"{name}_count{{{labels}}}"] == 3
    assert samples[f"{name}_sum{{{labels}}}"] == pytest.approx(1900.253)


def test_calls_tell_provider_model_endpoint_stream_status_and_outcome() -> None:
    samples = scraped(recorded(ended(stream=True), ended(stream=True, outcome="broken"), ended(status=500)))

    def count(stream: str, status: str, outcome: str) -> float:
        return samples[
            "llmproxy_provider_requests_total{endpoint=/v1/chat/completions,model=gpt-4o,"
            f"outcome={outcome},provider=openai,status={status},stream={stream}}}"
        ]

    assert count("true", "200", "success") == 1
    assert count("true", "200", "broken") == 1
    assert count("false", "500", "error") == 1
    assert samples["llmproxy_provider_errors_total{kind=http_500,provider=openai}"] == 1


def test_calls_have_their_durations_to_first_byte_first_token_and_end() -> None:
    samples = scraped(recorded(ended(stream=True, first_token_s=100.1875)))

    labels = "{endpoint=/v1/chat/completions,outcome=success,provider=openai,stream=true}"
    assert samples[f"llmproxy_provider_first_byte_seconds_sum{labels}"] == 0.125
    assert samples[f"llmproxy_provider_first_token_seconds_sum{labels}"] == 0.1875
    assert samples[f"llmproxy_provider_request_duration_seconds_sum{labels}"] == 0.25


def test_calls_that_never_stream_have_no_first_token_series() -> None:
    assert not any("first_token" in name for name in scraped(recorded(ended())))


def test_tokens_are_counted_by_type_and_only_where_they_were_reported() -> None:
    usage = Usage(input=120, output=42, cache_read=0)
    samples = scraped(recorded(ended(summary=Summary(usage=usage)), ended(summary=Summary(usage=usage)), ended()))

    assert {name: value for name, value in samples.items() if "tokens" in name or "usage" in name} == {
        "llmproxy_tokens_total{model=gpt-4o,provider=openai,type=input}": 240,
        "llmproxy_tokens_total{model=gpt-4o,provider=openai,type=output}": 84,
        "llmproxy_tokens_total{model=gpt-4o,provider=openai,type=cache_read}": 0,
        "llmproxy_usage_unknown_total{model=gpt-4o,provider=openai}": 1,
    }


def test_costs_are_added_up_and_unknown_ones_are_counted_apart() -> None:
    samples = scraped(recorded(ended(cost_usd=0.25), ended(cost_usd=0.0000028), ended(), ended(calls=[], model=None)))

    assert {name: value for name, value in samples.items() if "cost" in name} == {
        "llmproxy_cost_usd_total{model=gpt-4o,provider=openai}": 0.2500028,
        "llmproxy_cost_unknown_total{model=gpt-4o,provider=openai}": 1,
    }


def test_failed_attempts_count_as_calls_but_not_as_requests() -> None:
    attempts = [new_call(provider="eu", model="a", status=503), new_call(provider="openai", model="gpt-4o")]
    samples = scraped(recorded(ended(calls=attempts)))

    assert samples["llmproxy_provider_errors_total{kind=http_503,provider=eu}"] == 1
    assert [value for name, value in samples.items() if name.startswith("http_requests_total")] == [1]


def test_gauges_and_the_build_are_shown() -> None:
    metrics = Metrics(held_bytes=lambda: 4096)
    metrics.begin()
    metrics.record(ended(status=None, outcome="cancelled"))
    metrics.begin()
    samples = scraped(metrics)

    assert samples["llmproxy_in_flight_requests{}"] == 1
    assert samples["llmproxy_held_bytes{}"] == 4096
    assert samples["llmproxy_build_info{version=1.2.3}"] == 1
    assert samples["llmproxy_client_cancelled_total{path=/v1/chat/completions}"] == 1


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ],
)
def test_the_format_is_the_one_that_is_asked_for(accept: str, content_type: str) -> None:
    text, output = render(recorded(ended(stream=True)), "1.2.3", accept)

    assert output.startswith(content_type)
    assert text.endswith(b"# EOF\n") == ("openmetrics" in accept)


def test_openmetrics_readers_accept_all_of_it() -> None:
    usage = Usage(input=1, output=2)
    metrics = recorded(ended(stream=True, first_token_s=100.2, summary=Summary(usage=usage)), ended(status=429))
    text, _ = render(metrics, "1.2.3", OPENMETRICS)

    names = [family.name for family in parse_openmetrics(text.decode())]  # type: ignore[no-untyped-call]  # not typed there
    assert {"http_requests", "http_request_duration_seconds", "llmproxy_tokens"} <= set(names)
    assert len(names) == len(set(names))


def test_names_with_quotes_and_line_breaks_are_read_back_as_they_were() -> None:
    name = 'we"ird\\\nünïcode'

    assert f"llmproxy_usage_unknown_total{{model={name},provider=openai}}" in scraped(recorded(ended(model=name)))
