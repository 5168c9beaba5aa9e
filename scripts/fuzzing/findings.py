"""What a case of fuzzing can find, and the rows of the table that count it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

Fault = Literal["traceback", "500", "hang", "false end", "invalid", "records", "growth"]
FAULTS: tuple[Fault, ...] = ("traceback", "500", "hang", "false end", "invalid", "records", "growth")
MEANINGS = {
    "traceback": "a traceback, or an error of a task that nobody awaited, in the output of the program or of a command",
    "500": "an internal error as an answer",
    "hang": "a request or a command without an end in time, or an exchange that is counted as running for ever",
    "false end": "a stream that broke upstream and ended cleanly for the client",
    "invalid": "bytes that dialect or HTTP do not allow, a relayed answer that was changed, or output of a "
    "command that steers a terminal",
    "records": "an exchange with no record, or with more than one",
    "growth": "memory or open files that grow from the first third of the cases to the last",
}


class Finding(Exception):
    """What one case found."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(f"{fault}: {text}")
        self.fault = fault


@dataclass(slots=True, kw_only=True)
class Row:
    """The cases of one kind, and how often each fault was found. `growth_mb` is that of the program
    that grew most, in resident memory."""

    kind: str
    cases: int = 0
    found: Counter[Fault] = field(default_factory=Counter)
    growth_mb: float = 0.0

    def cells(self) -> list[str]:
        """Return the row of the table."""
        counts = [str(self.found[fault]) for fault in FAULTS]
        return [self.kind, f"{self.cases:,}", *counts, f"{self.growth_mb:+.0f} MB"]
