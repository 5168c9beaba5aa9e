from __future__ import annotations

import time
from typing import Any

import pytest

from llmproxy.errors import BadRequest
from llmproxy.server.pages.stats import read_groups, stats_page
from tests.metrics.test_counters import ended, recorded


async def page(query: str | None = None) -> dict[str, Any]:
    return await stats_page(
        recorded(ended()),
        [],
        version="1.2.3",
        pid=7,
        started_s=time.monotonic() - 60,
        providers=["openai", "idle"],
        by=read_groups(query),
    )


async def test_the_page_says_what_runs_and_since_when() -> None:
    shown = await page()

    assert (shown["version"], shown["pid"]) == ("1.2.3", 7)
    assert 60 <= shown["uptime_seconds"] < 600 and shown["started"].endswith("Z")
    assert list(shown["providers"]) == ["openai", "idle"]


@pytest.mark.parametrize(
    ("query", "groups"),
    [
        (None, set()),
        ("by=client", {"clients"}),
        ("by=session", {"sessions"}),
        ("by=session,client", {"clients", "sessions"}),
        ("by=session&by=client", {"clients", "sessions"}),
        ("by=client,%20client", {"clients"}),
    ],
)
async def test_groups_are_shown_as_the_query_asks(query: str | None, groups: set[str]) -> None:
    assert {"clients", "sessions"} & (await page(query)).keys() == groups


@pytest.mark.parametrize("query", ["bye=client", "by=client&x=1", "client", "=client"])
async def test_a_parameter_that_there_is_not_is_refused(query: str) -> None:
    with pytest.raises(BadRequest, match="Unknown parameter"):
        await page(query)


@pytest.mark.parametrize("query", ["by=model", "by=client,", "by=Client"])
async def test_an_unknown_group_is_refused_and_named(query: str) -> None:
    with pytest.raises(BadRequest, match="Use by=client or by=session"):
        await page(query)
