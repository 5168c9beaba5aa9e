from __future__ import annotations

import math
from io import StringIO
from typing import Any

import pytest
from rich.console import Console, Group

from llmproxy.cli.cache_view import describe_contents, render_cache

PAGE: dict[str, Any] = {
    "store": "redis",
    "available": True,
    "mode": "on",
    "entries": 10,
    "bytes": 20480,
    "max_bytes": 67108864,
    "hits": 5,
    "misses": 10,
    "bypasses": 2,
    "shared": 1,
    "stored": 9,
    "hit_rate": 0.333333,
    "saved": {"input_tokens": 100, "output_tokens": 50, "seconds": 12.5},
}


def drawn(page: dict[str, Any]) -> list[str]:
    console = Console(file=StringIO(), width=60)
    console.print(Group(*render_cache(page)))
    assert isinstance(console.file, StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_it_says_what_is_held_answered_and_saved() -> None:
    assert drawn(PAGE) == [
        "store     redis",
        "holds     10 answers of 20.0KB, room for 64.0MB",
        "hits      5 (33.3%)",
        "misses    10",
        "bypasses  2",
        "shared    1",
        "stored    9",
        "saved     100 tokens in, 50 tokens out, 12.50s",
    ]


def test_what_is_not_known_is_left_out() -> None:
    nothing = dict.fromkeys(("entries", "bytes", "max_bytes", "hit_rate"))
    saved = {"input_tokens": None, "output_tokens": None, "seconds": 0.0}
    lines = drawn({**PAGE, **nothing, "hits": 0, "saved": saved})
    assert [line.split()[0] for line in lines] == ["store", "hits", "misses", "bypasses", "shared", "stored", "saved"]
    assert "hits      0" in lines and lines[-1] == "saved     0.0ms"


def test_a_mode_and_a_store_that_is_gone_stand_out() -> None:
    lines = drawn({**PAGE, "mode": "read_only", "available": False})
    assert lines[0] == "store     redis, read_only" and lines[-1].startswith("the store is not reachable")


@pytest.mark.parametrize("page", [{}, *(dict.fromkeys(PAGE, each) for each in ("\x1b[2J", True, 10**400, math.nan))])
def test_what_a_server_says_otherwise_is_harmless(page: dict[str, Any]) -> None:
    assert "\x1b" not in "".join(drawn(page))


@pytest.mark.parametrize(
    ("page", "message"),
    [({"entries": 1, "bytes": 10}, "1 answer of 10B"), ({"entries": 3}, "3 answers"), ({}, "answers")],
)
def test_what_is_held_is_reported_in_words(page: dict[str, Any], message: str) -> None:
    assert describe_contents(page) == message
