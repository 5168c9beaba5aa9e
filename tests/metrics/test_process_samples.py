from __future__ import annotations

import sys

import pytest

from llmproxy.metrics.process_samples import process_samples
from llmproxy.metrics.sample import merge_samples


@pytest.mark.skipif(sys.platform != "linux", reason="prometheus-client reads /proc")
def test_the_process_is_shown_and_several_of_them_are_one() -> None:
    samples = process_samples()
    one = {each.name: each.value for each in samples}
    both = {each.name: each.value for each in merge_samples([samples, samples])}
    assert one["process_resident_memory_bytes"] > 0
    assert both["process_cpu_seconds"] == 2 * one["process_cpu_seconds"]
    assert both["process_open_fds"] == 2 * one["process_open_fds"]
    assert both["process_start_time_seconds"] == one["process_start_time_seconds"]
    assert both["process_max_fds"] == one["process_max_fds"]
