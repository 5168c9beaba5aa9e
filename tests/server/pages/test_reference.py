"""The page that shows the description of the API."""

from __future__ import annotations

import re

import pytest

from llmproxy.server.pages.reference import ASSETS, reference_page


@pytest.mark.parametrize("path", ASSETS)
async def test_its_files_come_from_the_package_under_a_policy_without_exceptions(path: str) -> None:
    answer = await reference_page(path)
    assert answer.status == 200 and answer.body
    assert answer.headers["Content-Type"] == ASSETS[path][1]
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy


async def test_they_are_small_and_load_nothing_from_elsewhere() -> None:
    bodies = {path: (await reference_page(path)).body.decode() for path in ASSETS if path != "/redoc"}
    assert sum(map(len, bodies.values())) < 30_000
    for body in bodies.values():
        assert not re.search(r"https?://", body)
    page = bodies["/docs"]
    assert not re.search(r"<style|style=|\son\w+=|<script(?! src=)", page)
    assert "innerHTML" not in bodies["/docs/reference.js"]
