"""Formats findings: for a console of any width, and as an object for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import groupby

from rich.text import Text

from llmproxy import __version__
from llmproxy.cli.doctor.finding import Finding, worst
from llmproxy.console.formatting import sanitize

_STYLES = {"ok": "green", "warning": "yellow", "error": "bold red", "skipped": "dim"}
_STATUS_WIDTH = max(map(len, _STYLES)) + 2
_NARROWEST = 40


def render(findings: Sequence[Finding], width: int) -> Iterator[Text]:
    """Yield the lines: a block for each subject, a line or more for each finding, and a summary."""
    checks = max(len(each.check) for each in findings) + 2
    for subject, group in groupby(findings, key=lambda each: each.subject):
        yield Text(sanitize(subject), style="bold")
        for finding in group:
            yield from _lines(finding, checks, max(width, _NARROWEST))
        yield Text()
    yield _summary(findings)


def _lines(finding: Finding, checks: int, width: int) -> Iterator[Text]:
    indent = 2 + _STATUS_WIDTH + checks
    texts = [sanitize(finding.detail), *([f"fix: {sanitize(finding.fix)}"] if finding.fix else [])]
    rows = [row for text in texts for row in textwrap.wrap(text, width - indent, break_on_hyphens=False)]
    for number, row in enumerate(rows):
        if number:
            yield Text(" " * indent + row)
            continue
        line = Text("  ").append(finding.status.ljust(_STATUS_WIDTH), style=_STYLES[finding.status])
        yield line.append(finding.check.ljust(checks) + row)


def _summary(findings: Iterable[Finding]) -> Text:
    found = list(findings)
    counts = {status: sum(each.status == status for each in found) for status in ("error", "warning")}
    parts = [f"{count} {status}{'' if count == 1 else 's'}" for status, count in counts.items() if count]
    return Text(", ".join(parts) or "All is well.", style=_STYLES[worst(found)])


def as_object(findings: Sequence[Finding], config: str | None) -> dict[str, object]:
    """Return the findings for programs."""
    return {
        "version": __version__,
        "config": config,
        "status": worst(findings),
        "findings": [asdict(each) for each in findings],
    }
