"""A mistake in a configuration as a value, and how it is told: as text, json, GitHub annotations or SARIF.

Whoever finds one makes a `Problem` and goes on, so that all mistakes are told at once. Nothing here knows what can be
wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal
from urllib.parse import quote

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Where something is written: a file with line and column, both from 1, or what else it came from, as a flag."""

    source: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return ":".join(str(each) for each in (self.source, self.line, self.column) if each is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake. `key` is the path of the key as the user wrote it, such as `providers[1].api_key`; `code` names the
    sort of mistake in a stable word."""

    mark: Mark
    key: str = ""
    message: str
    code: str = "invalid-value"
    severity: Severity = "error"

    def __str__(self) -> str:
        said = f"warning: {self.message}" if self.severity == "warning" else self.message
        return ": ".join(part for part in (str(self.mark), self.key, said) if part)


class ConfigError(ValueError):
    """A configuration that cannot be used, for callers from Python; `str` gives a line for each problem."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = list(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found about one file; it is fine unless one of its problems is an error."""

    file: str
    problems: Sequence[Problem] = field(default_factory=tuple)

    @property
    def fine(self) -> bool:
        return all(each.severity != "error" for each in self.problems)


def ordered(problems: Iterable[Problem]) -> list[Problem]:
    """Each once, source by source, in a file from top to bottom."""
    each_once = list(dict.fromkeys(problems))
    sources = list(dict.fromkeys(each.mark.source for each in each_once))
    return sorted(
        each_once, key=lambda each: (sources.index(each.mark.source), each.mark.line or 0, each.mark.column or 0)
    )


def as_json(verdicts: Sequence[Verdict]) -> str:
    """`{"ok", "files": [{"file", "ok", "problems": [...]}]}`, the members of each problem as in `_members`."""
    files = [
        {"file": each.file, "ok": each.fine, "problems": [_members(problem) for problem in each.problems]}
        for each in verdicts
    ]
    return json.dumps({"ok": all(each.fine for each in verdicts), "files": files}, indent=2)


def _members(problem: Problem) -> dict[str, object]:
    return {
        "severity": problem.severity,
        "code": problem.code,
        "source": problem.mark.source,
        "line": problem.mark.line,
        "column": problem.mark.column,
        "key": problem.key,
        "message": problem.message,
    }


def as_github(verdicts: Sequence[Verdict]) -> str:
    """A workflow command each, which GitHub shows beside the line.

    https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
    """
    return "".join(f"{_annotation(verdict.file, problem)}\n" for verdict in verdicts for problem in verdict.problems)


def _annotation(file: str, problem: Problem) -> str:
    place = {"file": _slashed(file)}
    said = ": ".join(part for part in (problem.key, problem.message) if part)
    if problem.mark.line is None:
        said = said if problem.mark.source == file else f"{problem.mark.source}: {said}"
    else:
        place |= {
            "file": _slashed(problem.mark.source),
            "line": str(problem.mark.line),
            "col": str(problem.mark.column),
        }
    place["title"] = f"llmproxy {problem.code}"
    written = ",".join(f"{name}={_escaped(value, ':,')}" for name, value in place.items())
    return f"::{problem.severity} {written}::{_escaped(said)}"


def _escaped(text: str, also: str = "") -> str:
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    for each in also:
        text = text.replace(each, f"%{ord(each):02X}")
    return text


def as_sarif(verdicts: Sequence[Verdict], version: str) -> str:
    """One run of SARIF 2.1.0, for code scanning: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html"""
    found = [(verdict.file, problem) for verdict in verdicts for problem in verdict.problems]
    codes = sorted({problem.code for _, problem in found})
    rules = [{"id": each, "shortDescription": {"text": each.replace("-", " ").capitalize()}} for each in codes]
    run = {
        "tool": {"driver": {"name": "llmproxy", "version": version, "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(file, problem, codes.index(problem.code)) for file, problem in found],
    }
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, indent=2)


def _result(file: str, problem: Problem, rule: int) -> dict[str, object]:
    mark = problem.mark if problem.mark.line else Mark(source=file)
    elsewhere = "" if mark.source == problem.mark.source else problem.mark.source
    place: dict[str, object] = {"artifactLocation": {"uri": _uri(mark.source)}}
    if mark.line:
        place["region"] = {"startLine": mark.line, "startColumn": mark.column}
    return {
        "ruleId": problem.code,
        "ruleIndex": rule,
        "level": problem.severity,
        "message": {"text": ": ".join(part for part in (elsewhere, problem.key, problem.message) if part)},
        "locations": [{"physicalLocation": place}],
    }


def _slashed(file: str) -> str:
    return PurePath(file).as_posix()


def _uri(file: str) -> str:
    return PurePath(file).as_uri() if PurePath(file).is_absolute() else quote(_slashed(file), safe="/")
