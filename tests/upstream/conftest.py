"""A fake upstream that answers shortly, and the pool that calls it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from llmproxy.upstream.pool import Upstream as Pool
from tests.support.pooling import ok, pool
from tests.support.provider import Upstream


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(ok) as upstream:
        yield upstream


@pytest.fixture
async def made() -> AsyncIterator[Pool]:
    async with pool() as made:
        yield made
