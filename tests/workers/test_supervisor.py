from __future__ import annotations

import pytest

from llmproxy.config.schema import ServerConfig
from llmproxy.workers.supervisor import _check_shares


@pytest.mark.parametrize(("workers", "warns"), [(8, False), (9, True)])
def test_a_share_of_the_memory_that_is_too_small_is_a_warning(
    workers: int, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    _check_shares(ServerConfig.model_validate({"workers": workers, "max_held_bytes": "512MB", "max_body_size": "64MB"}))
    assert ("each of 9 workers may hold 56 MB" in caplog.text) == warns
