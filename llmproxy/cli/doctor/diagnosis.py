"""The result of one check as a value. It knows neither how checks are made nor how they are shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "error", "skipped"]

MACHINE = "this machine"
"""The subject of what has to do with no provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Hold what one check found. `subject` is the name of a provider or `MACHINE`, `check` a stable word for the kind
    of
    check, `fix` what to do unless all is well. No text has a secret in it.
    """

    subject: str = MACHINE
    check: str
    status: Status = "ok"
    detail: str
    fix: str = ""


def worst(findings: Iterable[Diagnosis]) -> Status:
    """Return the status of all together: `error`, `warning` or `ok`."""
    found = {each.status for each in findings}
    return "error" if "error" in found else "warning" if "warning" in found else "ok"
