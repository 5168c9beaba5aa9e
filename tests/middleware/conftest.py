"""A fake vendor, and a proxy with a cache before it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import vendors
from tests.support.cached import Cached, cached
from tests.support.provider import Upstream
from tests.support.proxy import provider


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(vendors.answer) as upstream:
        yield upstream


@pytest.fixture
def here(upstream: Upstream) -> Iterator[Cached]:
    with cached(provider(upstream)) as made:
        yield made
