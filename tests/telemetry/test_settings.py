from __future__ import annotations

import pytest

from llmproxy.telemetry.settings import OtlpSettings


@pytest.mark.parametrize(
    ("sampler", "argument", "ratio", "follows"),
    [
        (None, None, 1.0, True),
        ("always_on", None, 1.0, False),
        ("always_off", None, 0.0, False),
        ("parentbased_always_off", None, 0.0, True),
        ("traceidratio", "0.25", 0.25, False),
        ("parentbased_traceidratio", "0.01", 0.01, True),
        ("parentbased_traceidratio", "much", 1.0, True),
    ],
)
def test_the_sampler_of_the_environment(sampler: str | None, argument: str | None, ratio: float, follows: bool) -> None:
    given = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument}
    settings = OtlpSettings().from_environment({name: value for name, value in given.items() if value is not None})
    assert (settings.sample_ratio, settings.follows_client) == (ratio, follows)


def test_the_configuration_wins_over_the_environment() -> None:
    environ = {
        "OTEL_TRACES_SAMPLER": "always_off",
        "OTEL_METRIC_EXPORT_INTERVAL": "5000",
        "OTEL_SEMCONV_STABILITY_OPT_IN": "http,gen_ai_latest_experimental",
    }
    settings = OtlpSettings(sample_ratio=0.5, names="older", interval_s=1.0).from_environment(environ)
    assert (settings.sample_ratio, settings.names, settings.interval_s) == (0.5, "older", 1.0)
    settings = OtlpSettings().from_environment(environ)
    assert (settings.sample_ratio, settings.names, settings.interval_s) == (0.0, "latest", 5.0)


@pytest.mark.parametrize(
    ("environ", "traces", "metrics"),
    [
        ({"OTEL_SDK_DISABLED": "true"}, False, False),
        ({"OTEL_TRACES_EXPORTER": "none"}, False, True),
        ({"OTEL_METRICS_EXPORTER": "none"}, True, False),
    ],
)
def test_variables_switch_parts_off(environ: dict[str, str], traces: bool, metrics: bool) -> None:
    settings = OtlpSettings().from_environment(environ)
    assert (settings.traces, settings.metrics) == (traces, metrics)


def test_content_and_the_queue_of_the_environment() -> None:
    environ = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true", "OTEL_BSP_MAX_QUEUE_SIZE": "10"}
    settings = OtlpSettings().from_environment(environ)
    assert (settings.content, settings.queue) == (True, 10)
