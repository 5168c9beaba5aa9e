"""Look up and expand variables: from the environment, and from a `.env` file that never overrides it.

A value may contain `${VAR}`, `${VAR:-default}`, `$${` and `os.environ/VAR`. Variables are text and never read as YAML.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from llmproxy.config.document import decode, explain_unreadable, read_bytes
from llmproxy.config.problems import Mark, Problem

_MAX_BYTES = 1024 * 1024
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WHOLE = re.compile(r"os\.environ/(.*)")
_LINE = re.compile(r"\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_.]*)\s*=[ \t]*")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A variable that is set. `place` describes where, for messages."""

    value: str
    place: str


class Variables(Protocol):
    """A source of variables."""

    def find(self, name: str) -> Variable | None:
        """Return the variable, or None when it is not set."""


class Environment:
    """The environment of the process, then the variables of `.env`."""

    def __init__(self, process: Mapping[str, str], dotenv: Mapping[str, str], dotenv_place: str = ".env") -> None:
        self._process = process
        self._dotenv = dotenv
        self._dotenv_place = dotenv_place

    def find(self, name: str) -> Variable | None:
        if name in self._process:
            return Variable(value=self._process[name], place=f"environment variable {name}")
        if name in self._dotenv:
            return Variable(value=self._dotenv[name], place=f"{name} in {self._dotenv_place}")
        return None

    def filled(self, name: str) -> Variable | None:
        """Return the variable when it is set and not empty."""
        variable = self.find(name)
        return variable if variable and variable.value.strip() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expanded:
    """A value with its variables expanded. `defaulted` names the missing variables whose default it has: `${X:-}`."""

    text: str
    variables: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    fault: str = ""
    defaulted: tuple[str, ...] = ()


def expand(text: str, variables: Variables) -> Expanded:
    """Expand the variables in `text`. Return it unchanged, with `missing` or `fault`, when that fails."""
    whole = _WHOLE.fullmatch(text.strip())
    if "${" not in text and not whole:
        return Expanded(text=text)
    expansion = _Expansion(f"${{{whole[1]}}}" if whole else text, variables)
    try:
        expanded = expansion.run()
    except _Malformed as error:
        return Expanded(text=text, fault=str(error))
    except RecursionError:
        return Expanded(text=text, fault="variables are nested too deeply")
    used, missing = tuple(dict.fromkeys(expansion.used)), tuple(dict.fromkeys(expansion.missing))
    defaulted = () if missing else tuple(dict.fromkeys(expansion.defaulted))
    return Expanded(text=expanded, variables=used, missing=missing, defaulted=defaulted)


class _Malformed(ValueError):
    pass


class _Expansion:
    """Expand one value; defaults may contain variables again."""

    def __init__(self, text: str, variables: Variables) -> None:
        self.used: list[str] = []
        self.missing: list[str] = []
        self.defaulted: list[str] = []
        self._text = text
        self._variables = variables
        self._at = 0

    def run(self, until: str = "") -> str:
        """Expand the text up to `until` and skip it, or to the end when `until` is empty."""
        parts: list[str] = []
        while self._at < len(self._text):
            if until and self._text[self._at] == until:
                self._at += 1
                return "".join(parts)
            if self._text.startswith("$${", self._at):
                parts.append("${")
                self._at += 3
            elif self._text.startswith("${", self._at):
                self._at += 2
                parts.append(self._variable())
            else:
                parts.append(self._text[self._at])
                self._at += 1
        if until:
            raise _Malformed("`${` is not closed; write ${NAME}, or `$${` for a literal `${`")
        return "".join(parts)

    def _variable(self) -> str:
        match = _NAME.match(self._text, self._at)
        if not match or self._text[match.end() : match.end() + 1] not in ("}", ":"):
            raise _Malformed("invalid variable; write ${NAME} or ${NAME:-default}, or `$${` for a literal `${`")
        name, self._at = match[0], match.end()
        variable = self._variables.find(name)
        if self._text[self._at] == "}":
            self._at += 1
            return self._take(name, variable)
        if not self._text.startswith(":-", self._at):
            raise _Malformed(f"invalid variable; only `:-` may follow the name, as in ${{{name}:-default}}")
        self._at += 2
        return self._with_default(name, variable if variable and variable.value else None)

    def _take(self, name: str, variable: Variable | None) -> str:
        if variable is None:
            self.missing.append(name)
            return ""
        self.used.append(variable.place)
        return variable.value

    def _with_default(self, name: str, variable: Variable | None) -> str:
        used, missing = list(self.used), list(self.missing)
        default = self.run("}")
        if variable is None:
            self.defaulted.append(name)
            return default
        self.used, self.missing = used, missing  # forget the variables of the unused default
        return self._take(name, variable)


def read_dotenv(path: Path, display_name: str) -> tuple[dict[str, str], list[Problem]]:
    """Read a `.env` file; return no variables when there is none. Lines that are not NAME=value give a warning."""
    if not path.is_file():
        return {}, []
    try:
        text = decode(read_bytes(path, _MAX_BYTES, "it is not read"))
    except OSError as error:
        return {}, [_warning(Mark(source=display_name), explain_unreadable(error))]
    except ValueError as error:
        return {}, [_warning(Mark(source=display_name), str(error))]
    return _parse(text.replace("\r\n", "\n"), display_name)


def _parse(text: str, display_name: str) -> tuple[dict[str, str], list[Problem]]:
    values: dict[str, str] = {}
    problems: list[Problem] = []
    at = 0
    while at < len(text):
        line_end = text.find("\n", at) if "\n" in text[at:] else len(text)
        line = text[at:line_end]
        match = _LINE.match(line)
        if not line.strip() or line.lstrip().startswith("#"):
            at = line_end + 1
        elif not match:
            mark = Mark(source=display_name, line=text.count("\n", 0, at) + 1, column=1)
            problems.append(_warning(mark, "the line is ignored; it must be NAME=value"))
            at = line_end + 1
        else:
            value, at = _value(text, at + match.end(), line_end)
            values[match["name"]] = value
    return values, problems


def _value(text: str, start: int, line_end: int) -> tuple[str, int]:
    """Read the value that begins at `start`; return it and the start of the next line. Quoted values may span lines."""
    quote = text[start : start + 1]
    if quote in ("'", '"'):
        pattern = r"'([^']*)'" if quote == "'" else r'"((?:[^"\\]|\\.)*)"'
        if closed := re.compile(pattern, re.DOTALL).match(text, start):
            next_line = text.find("\n", closed.end())
            value = closed[1]
            if quote == '"':
                value = re.sub(r"\\(.)", lambda each: _ESCAPES.get(each[1], each[0]), value, flags=re.DOTALL)
            return value, len(text) if next_line < 0 else next_line + 1
    return re.sub(r"(^|\s)#.*", "", text[start:line_end]).strip(), line_end + 1


def _warning(mark: Mark, message: str) -> Problem:
    return Problem(mark=mark, message=message, code="dotenv", severity="warning")
