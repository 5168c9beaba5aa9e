"""How a server is announced; that commands find it is tested with the commands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llmproxy import discovery
from llmproxy.server.registration import Registration, announced_host


@pytest.mark.parametrize(
    ("configured", "bound", "announced"),
    [
        ("0.0.0.0", "0.0.0.0", "127.0.0.1"),
        ("::", "::", "[::1]"),
        ("localhost", "127.0.0.1", "localhost"),
        ("::1", "::1", "[::1]"),
        ("10.0.0.1", "10.0.0.1", "10.0.0.1"),
    ],
)
def test_the_announced_host_can_be_called(configured: str, bound: str, announced: str) -> None:
    assert announced_host(configured, bound) == announced


async def test_a_server_is_registered_within_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "_directory", lambda: tmp_path)
    registration = Registration(version="1", file="x.yaml", url="http://127.0.0.1:1", host="127.0.0.1", port=1)
    async with registration.kept([]):
        assert len(os.listdir(tmp_path)) == 1
        await registration.write([])
        assert len(os.listdir(tmp_path)) == 1
    assert not os.listdir(tmp_path)
