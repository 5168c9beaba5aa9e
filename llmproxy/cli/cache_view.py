"""How the page `/cache` looks on a console: what is held, what was answered from it, what that saved.

What the page does not say is left out. Begin reading at `view`.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from llmproxy.cli.client import number, table
from llmproxy.cli.tables import RED, Row, count, safe_text
from llmproxy.console.formatting import UNKNOWN, format_duration
from llmproxy.settings import format_size


def view(page: Row) -> list[Text]:
    """The page, a line for each thing it says."""
    lines = [Text(f"{name:<10}{value}") for name, value in _values(page)]
    if page.get("available") is False:
        lines.append(Text("the store cannot be reached: every request is a miss", style=RED))
    return lines


def line(page: Row) -> Text:
    """The page in one line: what was answered from it, and what that saved."""
    told = dict(_values(page))
    parts = [f"{name} {told[name]}" for name in ("hits", "misses")]
    if "saved" in told:
        parts.append(f"saved {told['saved']}")
    return Text("  ".join(("cache", *parts)))


def held(page: Row) -> str:
    """How much the cache holds, in words."""
    entries, size_bytes = number(page.get("entries")), number(page.get("bytes"))
    counted = "answers" if entries is None else "1 answer" if entries == 1 else f"{count(entries)} answers"
    return counted if size_bytes is None else f"{counted} of {format_size(int(size_bytes))}"


def _values(page: Row) -> Iterator[tuple[str, str]]:
    most, rate = number(page.get("max_bytes")), number(page.get("hit_rate"))
    mode = safe_text(page.get("mode"))
    yield "store", safe_text(page.get("store")) + ("" if mode in ("on", UNKNOWN) else f", {mode}")
    if number(page.get("entries")) is not None or number(page.get("bytes")) is not None:
        yield "holds", held(page) + ("" if most is None else f", room for {format_size(int(most))}")
    yield "hits", count(page.get("hits")) + ("" if rate is None else f" ({rate:.1%})")
    for name in ("misses", "bypasses", "shared", "stored"):
        yield name, count(page.get(name))
    saved = table(page, "saved")
    seconds = number(saved.get("seconds"))
    parts = [
        f"{count(saved.get(member))} {word}"
        for member, word in (("input_tokens", "tokens in"), ("output_tokens", "tokens out"))
        if number(saved.get(member)) is not None
    ]
    if seconds is not None:
        parts.append(format_duration(seconds * 1000))
    if parts:
        yield "saved", ", ".join(parts)
