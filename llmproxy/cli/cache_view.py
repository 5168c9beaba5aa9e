"""Formats the page `/cache` for a console: contents, hits, and savings.

Fields missing from the page are left out. Begin reading at `render_cache`.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from llmproxy.cli.client import as_number, object_at
from llmproxy.cli.tables import RED, Row, count_cell, text_cell
from llmproxy.console.formatting import UNKNOWN, format_cost, format_duration
from llmproxy.settings import format_size


def render_cache(page: Row) -> list[Text]:
    """Return the page, one line for each value."""
    lines = [Text(f"{name:<10}{value}") for name, value in _values(page)]
    if page.get("available") is False:
        lines.append(Text("the store is not reachable: every request is a miss", style=RED))
    return lines


def cache_parts(page: Row) -> Iterator[str]:
    """Yield the page for a line or two: hits, misses, and savings."""
    values = dict(_values(page))
    yield f"cache hits {values['hits']}"
    yield f"misses {values['misses']}"
    if "saved" in values:
        yield f"saved {values['saved']}"


def describe_contents(page: Row) -> str:
    """Return how much the cache holds, in words."""
    entries, size_bytes = as_number(page.get("entries")), as_number(page.get("bytes"))
    counted = "answers" if entries is None else "1 answer" if entries == 1 else f"{count_cell(entries)} answers"
    return counted if size_bytes is None else f"{counted} of {format_size(int(size_bytes))}"


def _values(page: Row) -> Iterator[tuple[str, str]]:
    most, rate = as_number(page.get("max_bytes")), as_number(page.get("hit_rate"))
    mode = text_cell(page.get("mode"))
    yield "store", text_cell(page.get("store")) + ("" if mode in ("on", UNKNOWN) else f", {mode}")
    if as_number(page.get("entries")) is not None or as_number(page.get("bytes")) is not None:
        yield "holds", describe_contents(page) + ("" if most is None else f", room for {format_size(int(most))}")
    yield "hits", count_cell(page.get("hits")) + ("" if rate is None else f" ({rate:.1%})")
    for name in ("misses", "bypasses", "shared", "stored"):
        yield name, count_cell(page.get(name))
    saved = object_at(page, "saved")
    seconds = as_number(saved.get("seconds"))
    parts = [
        f"{count_cell(saved.get(member))} {word}"
        for member, word in (("input_tokens", "tokens in"), ("output_tokens", "tokens out"))
        if as_number(saved.get(member)) is not None
    ]
    if seconds is not None:
        parts.append(format_duration(seconds * 1000))
    if (cost := as_number(saved.get("cost_usd"))) is not None:
        parts.append(format_cost(cost))
    if parts:
        yield "saved", ", ".join(parts)
