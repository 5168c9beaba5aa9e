"""Formats findings: for a console of any width, and as an object for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import groupby

from rich.text import Text

from llmproxy import __version__
from llmproxy.cli.doctor.diagnosis import Diagnosis, worst
from llmproxy.cli.tables import WARNING, hanging_lines
from llmproxy.console.formatting import sanitize

_STYLES = {"ok": "bold", "warning": WARNING, "error": "bold red", "skipped": "dim"}
_STATUS_WIDTH = max(map(len, _STYLES)) + 2


def render_diagnoses(findings: Sequence[Diagnosis], width: int) -> Iterator[Text]:
    """Yield the lines: a block for each subject, a line or more for each finding, and a summary."""
    checks = max(len(each.check) for each in findings) + 2
    for subject, group in groupby(findings, key=lambda each: each.subject):
        yield Text(sanitize(subject), style="bold")
        for finding in group:
            yield from _lines(finding, checks, width)
        yield Text()
    yield _summary(findings)


def _lines(finding: Diagnosis, checks: int, width: int) -> Iterator[Text]:
    head = Text("  ").append(finding.status.ljust(_STATUS_WIDTH), style=_STYLES[finding.status])
    texts = [sanitize(finding.detail), *([f"fix: {sanitize(finding.fix)}"] if finding.fix else [])]
    yield from hanging_lines(head.append(finding.check.ljust(checks)), texts, width)


def _summary(findings: Iterable[Diagnosis]) -> Text:
    found = list(findings)
    counts = {status: sum(each.status == status for each in found) for status in ("error", "warning")}
    parts = [f"{count} {status}{'' if count == 1 else 's'}" for status, count in counts.items() if count]
    return Text(", ".join(parts) or "All is well.", style=_STYLES[worst(found)])


def as_object(findings: Sequence[Diagnosis], config: str | None) -> dict[str, object]:
    """Return the findings for programs."""
    return {
        "version": __version__,
        "config": config,
        "status": worst(findings),
        "findings": [asdict(each) for each in findings],
    }
