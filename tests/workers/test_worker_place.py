from __future__ import annotations

import pytest

from llmproxy.workers.worker_place import STEADY_S, WorkerPlace


def test_a_worker_that_ends_at_once_is_started_again_later_and_later() -> None:
    place = WorkerPlace(1)
    pauses = [place.next_pause_s(1.0) for _ in range(12)]
    assert pauses[:4] == pytest.approx([0.1, 0.2, 0.4, 0.8]) and pauses[-1] == 30.0
    assert place.next_pause_s(STEADY_S) == 0.0
    assert place.next_pause_s(1.0) == pytest.approx(0.1)


def test_a_place_without_a_process_says_why() -> None:
    place = WorkerPlace(2)
    place.fault = "was ended by SIGKILL"
    assert place.describe_fault() == "worker 2 does not serve: was ended by SIGKILL"
    assert (place.row().state, place.row().pid) == ("restarting", None)
