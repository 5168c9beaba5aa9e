"""Samples of the process itself, under the names that Prometheus has for them: CPU time, memory, open files."""

from __future__ import annotations

from typing import Literal

from llmproxy.metrics.sample import Sample

# Of several workers: all have the same limit, and the server began with the first of them.
_ACROSS: dict[str, Literal["max", "min"]] = {"process_max_fds": "max", "process_start_time_seconds": "min"}


def process_samples() -> list[Sample]:
    """Return the samples of this process; none where the system has no /proc. Blocks while it reads that."""
    from prometheus_client import ProcessCollector  # when it is needed: 5 ms and 1 MB

    return [
        Sample(
            name=family.name,
            help=family.documentation,
            counter=family.type == "counter",
            value=sample.value,
            across=_ACROSS.get(family.name, "sum"),
        )
        for family in ProcessCollector(registry=None).collect()
        for sample in family.samples
    ]
