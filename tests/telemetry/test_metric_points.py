from __future__ import annotations

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage
from llmproxy.telemetry.measurements import Measurements
from llmproxy.telemetry.metric_points import metrics_of
from llmproxy.telemetry.names import Names, names_of
from tests.metrics.test_counters import ended


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ("older", {"gen_ai.client.operation.duration", "gen_ai.client.token.usage"}),
        (
            "latest",
            {
                "gen_ai.client.inference.duration",
                "gen_ai.client.inference.operation.input_tokens",
                "gen_ai.client.inference.operation.output_tokens",
                "gen_ai.client.inference.usage.input_tokens",
                "gen_ai.client.inference.usage.output_tokens",
            },
        ),
    ],
)
def test_only_metrics_with_values_and_a_name_are_sent(chosen: Names, expected: set[str]) -> None:
    measured = Measurements()
    measured.add(ended(summary=Summary(usage=Usage(input=10, output=2))))
    data = metrics_of(measured, names_of(chosen), Resource({}), InstrumentationScope("x"), (1, 2))
    metrics = data.resource_metrics[0].scope_metrics[0].metrics
    assert {each.name for each in metrics} == expected
