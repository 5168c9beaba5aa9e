"""A fake vendor behind the server, and the event loops that it runs in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import vendors
from tests.support.provider import Upstream
from tests.support.proxy import loops


@pytest.fixture(params=loops(), ids=lambda factory: factory.__module__)
def factory(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(vendors.answer) as upstream:
        yield upstream
