from __future__ import annotations

import pytest

from llmproxy.cli.doctor.diagnosis import Diagnosis, Status, worst


@pytest.mark.parametrize(
    ("found", "together"),
    [
        ([], "ok"),
        (["skipped", "ok"], "ok"),
        (["ok", "warning", "skipped"], "warning"),
        (["warning", "error", "ok"], "error"),
    ],
)
def test_the_worst_counts(found: list[Status], together: Status) -> None:
    assert worst(Diagnosis(check="x", status=each, detail="y") for each in found) == together
