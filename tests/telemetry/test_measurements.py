from __future__ import annotations

import pytest

from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage
from llmproxy.errors import ProxyError
from llmproxy.telemetry.measurements import Distribution, Measurements, error_kind
from tests.metrics.test_counters import ended


def test_calls_are_added_up_by_provider_model_and_error() -> None:
    measured = Measurements()
    usage = Usage(input=10, output=2, cache_read=4)
    for exchange in (ended(summary=Summary(usage=usage), first_token_s=100.1), ended(status=429), ended(target=None)):
        measured.add(exchange)
    good, failed = measured.by_kind.items()
    assert (good[0].provider, good[0].operation, good[0].error, failed[0].error) == ("openai", "chat", "", "429")
    assert (sum(good[1].durations.counts), good[1].inputs.total, good[1].cache_read) == (1, 10, 4)
    assert good[1].first_chunks.total == pytest.approx(0.1)


def test_a_bucket_includes_its_bound() -> None:
    distribution = Distribution((1, 4))
    for value in (1, 4, 5):
        distribution.add(value)
    assert (distribution.counts, distribution.least, distribution.greatest) == ([1, 1, 1], 1, 5)


def test_the_error_is_a_status_a_code_or_how_it_ended() -> None:
    kinds = [
        ended(),
        ended(status=503),
        ended(outcome="cancelled"),
        ended(outcome="broken"),
        ended(outcome="error", status=504, error=ProxyError("x", code="upstream_timeout")),
    ]
    assert [error_kind(each) for each in kinds] == ["", "503", "cancelled", "broken", "upstream_timeout"]
