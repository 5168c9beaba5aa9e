from __future__ import annotations

import pytest

from llmproxy.metrics.histogram import BOUNDS_S, Histogram


def test_a_bucket_holds_what_took_no_longer_than_its_bound() -> None:
    histogram = Histogram()
    for seconds in (0.0, 0.005, 0.0051, 600.0, 601.0):
        histogram.observe(seconds)

    assert histogram.counts[:2] == [2, 1]
    assert histogram.counts[-2:] == [1, 1]
    assert len(histogram.counts) == len(BOUNDS_S) + 1
    assert histogram.sum_s == pytest.approx(1201.0101)
