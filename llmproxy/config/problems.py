"""A problem of a configuration as a value, and its output formats: text, JSON, SARIF, and those of GitHub
and GitLab.

A reader that finds a problem adds it to a list and goes on, so that all problems are reported at once. This module does
not know which problems there are.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal
from urllib.parse import quote

from llmproxy.console.formatting import sanitize

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """The position of a value: a file with line and column, both from 1, or another source such as a flag."""

    source: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return ":".join(str(each) for each in (self.source, self.line, self.column) if each is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem. `key` is the path of the key as the user wrote it, such as `providers[1].api_key`; `code` is a
    stable word for its kind."""

    mark: Mark
    key: str = ""
    message: str
    code: str = "invalid-value"
    severity: Severity = "error"

    def __str__(self) -> str:
        message = f"warning: {self.message}" if self.severity == "warning" else self.message
        return ": ".join(part for part in (str(self.mark), self.key, message) if part)


class ConfigError(ValueError):
    """A configuration that cannot be used. `str` gives a line for each problem."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = list(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The problems of one file. It is valid unless one of them is an error."""

    file: str
    problems: Sequence[Problem] = field(default_factory=tuple)

    @property
    def valid(self) -> bool:
        return all(each.severity != "error" for each in self.problems)


def sort_problems(problems: Iterable[Problem]) -> list[Problem]:
    """Sort by source and position, and remove duplicates."""
    unique = list(dict.fromkeys(problems))
    sources = list(dict.fromkeys(each.mark.source for each in unique))
    return sorted(
        unique, key=lambda each: (sources.index(each.mark.source), each.mark.line or 0, each.mark.column or 0)
    )


def as_json(verdicts: Sequence[Verdict]) -> str:
    """Write `{"ok", "files": [{"file", "ok", "problems": [...]}]}`, with each problem as in `_members`."""
    files = [
        {"file": each.file, "ok": each.valid, "problems": [_members(problem) for problem in each.problems]}
        for each in verdicts
    ]
    return json.dumps({"ok": all(each.valid for each in verdicts), "files": files}, indent=2)


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
    """Write a workflow command for each problem, which GitHub shows beside the line.

    https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
    """
    annotations = (_annotation(verdict.file, problem) for verdict in verdicts for problem in verdict.problems)
    return "".join(f"{sanitize(annotation)}\n" for annotation in annotations)


def _annotation(file: str, problem: Problem) -> str:
    place = {"file": _with_slashes(file)}
    message = ": ".join(part for part in (problem.key, problem.message) if part)
    if problem.mark.line is None:
        message = message if problem.mark.source == file else f"{problem.mark.source}: {message}"
    else:
        place |= {
            "file": _with_slashes(problem.mark.source),
            "line": str(problem.mark.line),
            "col": str(problem.mark.column),
        }
    place["title"] = f"llmproxy {problem.code}"
    properties = ",".join(f"{name}={_escape(value, ':,')}" for name, value in place.items())
    return f"::{problem.severity} {properties}::{_escape(message)}"


def _escape(text: str, also: str = "") -> str:
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    for each in also:
        text = text.replace(each, f"%{ord(each):02X}")
    return text


def as_sarif(verdicts: Sequence[Verdict], version: str) -> str:
    """Write one run of SARIF 2.1.0, for code scanning: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html"""
    results = [(verdict.file, problem) for verdict in verdicts for problem in verdict.problems]
    codes = sorted({problem.code for _, problem in results})
    rules = [{"id": each, "shortDescription": {"text": each.replace("-", " ").capitalize()}} for each in codes]
    run = {
        "tool": {"driver": {"name": "llmproxy", "version": version, "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(file, problem, codes.index(problem.code)) for file, problem in results],
    }
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, indent=2)


def as_gitlab(verdicts: Sequence[Verdict]) -> str:
    """Write a Code Quality report, which GitLab shows in merge requests: https://docs.gitlab.com/ci/testing/code_quality"""
    findings = [(verdict.file, problem) for verdict in verdicts for problem in verdict.problems]
    return json.dumps([_finding(file, problem) for file, problem in findings], indent=2)


def _finding(file: str, problem: Problem) -> dict[str, object]:
    mark = problem.mark if problem.mark.line else Mark(source=file)
    elsewhere = "" if mark.source == problem.mark.source else problem.mark.source
    text = ": ".join(part for part in (elsewhere, problem.key, problem.message) if part)
    path = os.path.normpath(mark.source)  # GitLab knows no path that begins with ./
    identity = "\0".join((_with_slashes(path), problem.code, text))
    return {
        "description": text,
        "check_name": f"llmproxy {problem.code}",
        "fingerprint": hashlib.sha256(identity.encode()).hexdigest(),
        "severity": "major" if problem.severity == "error" else "minor",
        "location": {"path": _with_slashes(path), "lines": {"begin": mark.line or 1}},
    }


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


def _with_slashes(file: str) -> str:
    return PurePath(file).as_posix()


def _uri(file: str) -> str:
    return PurePath(file).as_uri() if PurePath(file).is_absolute() else quote(_with_slashes(file), safe="/")
