"""Formats the results of checks as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from llmproxy.cli.check_live.live_checks import LiveResult
from llmproxy.cli.tables import RED, hanging_lines
from llmproxy.console.formatting import format_duration, sanitize

_STYLES = {"passed": "green", "failed": RED, "skipped": "dim"}


def render_results(url: str, model: str, results: Sequence[LiveResult], width: int) -> Iterator[Text]:
    """Yield the lines of the table, and a summary."""
    yield Text(f"{url}, model {sanitize(model, 100)}")
    yield Text()
    yield Text(f"{'check':<13}{'result':<9}{'time':>7}  what", style="dim")
    for each in results:
        head = Text(each.check.ljust(13)).append(each.result.ljust(9), style=_STYLES[each.result])
        head.append(f"{format_duration(each.took_ms):>7}  ")
        yield from hanging_lines(head, [each.detail], width)
    yield Text()
    counts = {name: sum(each.result == name for each in results) for name in _STYLES}
    words = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    yield Text(words, style=_STYLES["failed" if counts["failed"] else "passed"])
