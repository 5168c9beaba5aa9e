"""Formats the results of checks as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.text import Text

from llmproxy.cli.check_live.live_checks import LiveResult
from llmproxy.cli.tables import RED, hanging_lines
from llmproxy.console.formatting import format_duration, sanitize

_STYLES = {"passed": "bold", "failed": RED, "skipped": "dim"}


def render_results(url: str, model: str, results: Iterable[LiveResult], width: int) -> Iterator[Text]:
    """Yield the lines of the table, each as soon as its result is there, and a summary."""
    counts = dict.fromkeys(_STYLES, 0)
    yield Text(f"{url}, model {sanitize(model, 100)}")
    yield Text()
    yield Text(f"{'check':<13}{'result':<9}{'time':>7}  what", style="dim")
    for each in results:
        counts[each.result] += 1
        head = Text(each.check.ljust(13)).append(each.result.ljust(9), style=_STYLES[each.result])
        head.append(f"{format_duration(each.took_ms):>7}  ")
        yield from hanging_lines(head, [each.detail], width)
    yield Text()
    words = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    yield Text(words, style=_STYLES["failed" if counts["failed"] else "passed"])
