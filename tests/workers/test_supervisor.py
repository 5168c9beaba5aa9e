from __future__ import annotations

import pytest

from llmproxy.config.schema import ServerConfig
from llmproxy.workers.supervisor import STEADY_S, _check_shares, _Place


def test_a_worker_that_ends_at_once_is_started_again_later_and_later() -> None:
    place = _Place(1)
    pauses = [place.next_pause_s(1.0) for _ in range(12)]
    assert pauses[:4] == pytest.approx([0.1, 0.2, 0.4, 0.8]) and pauses[-1] == 30.0
    assert place.next_pause_s(STEADY_S) == 0.0
    assert place.next_pause_s(1.0) == pytest.approx(0.1)


def test_a_place_without_a_process_says_why() -> None:
    place = _Place(2)
    place.fault = "was ended by SIGKILL"
    assert place.describe_fault() == "worker 2 does not serve: was ended by SIGKILL"
    assert (place.row().state, place.row().pid) == ("restarting", None)


@pytest.mark.parametrize(("workers", "warns"), [(8, False), (9, True)])
def test_a_share_of_the_memory_that_is_too_small_is_a_warning(
    workers: int, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    _check_shares(ServerConfig.model_validate({"workers": workers, "max_held_bytes": "512MB", "max_body_size": "64MB"}))
    assert ("each of 9 workers may hold 56 MB" in caplog.text) == warns
