"""The variables that a configuration may use: the environment, and a `.env` file that never overrides it.

Also what `${VAR}`, `${VAR:-default}`, `$${` and `os.environ/VAR` in a value stand for. Values are text; nothing of
them is read as YAML.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from llmproxy.config.document import decode, read_bytes, unreadable
from llmproxy.config.problems import Mark, Problem

_MAX_BYTES = 1024 * 1024
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WHOLE = re.compile(r"os\.environ/(.*)")
_LINE = re.compile(r"\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_.]*)\s*=[ \t]*")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One variable that is set. `place` says where, for people."""

    value: str
    place: str


class Variables(Protocol):
    """Where variables are looked up."""

    def find(self, name: str) -> Variable | None:
        """The variable, when it is set."""


class Environment:
    """The process's environment, and below it what `.env` adds."""

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
        """The variable, when it is set to something: an empty one counts as not set."""
        found = self.find(name)
        return found if found and found.value.strip() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expanded:
    """A value after its variables. `optional` says that what is missing was allowed to be: `${VAR:-}`."""

    text: str
    variables: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    fault: str = ""
    optional: bool = False


def expand(text: str, variables: Variables) -> Expanded:
    """`text` with its variables filled in; unchanged, with `missing` or `fault`, when that cannot be done."""
    whole = _WHOLE.fullmatch(text.strip())
    if "${" not in text and not whole:
        return Expanded(text=text)
    expansion = _Expansion(f"${{{whole[1]}}}" if whole else text, variables)
    try:
        made = expansion.run()
    except _Malformed as error:
        return Expanded(text=text, fault=str(error))
    used, missing = tuple(dict.fromkeys(expansion.used)), tuple(dict.fromkeys(expansion.missing))
    return Expanded(text=made, variables=used, missing=missing, optional=expansion.optional and not missing)


class _Malformed(ValueError):
    pass


class _Expansion:
    """One pass over one value; defaults may hold variables again."""

    def __init__(self, text: str, variables: Variables) -> None:
        self.used: list[str] = []
        self.missing: list[str] = []
        self.optional = False
        self._text = text
        self._variables = variables
        self._at = 0

    def run(self, until: str = "") -> str:
        """Everything up to `until`, which is left behind; to the end when there is none."""
        made: list[str] = []
        while self._at < len(self._text):
            if until and self._text[self._at] == until:
                self._at += 1
                return "".join(made)
            if self._text.startswith("$${", self._at):
                made.append("${")
                self._at += 3
            elif self._text.startswith("${", self._at):
                self._at += 2
                made.append(self._variable())
            else:
                made.append(self._text[self._at])
                self._at += 1
        if until:
            raise _Malformed("`${` is not closed; write ${NAME}, or `$${` for a literal `${`")
        return "".join(made)

    def _variable(self) -> str:
        named = _NAME.match(self._text, self._at)
        if not named or self._text[named.end() : named.end() + 1] not in ("}", ":"):
            raise _Malformed("invalid variable; write ${NAME} or ${NAME:-default}, or `$${` for a literal `${`")
        name, self._at = named[0], named.end()
        found = self._variables.find(name)
        if self._text[self._at] == "}":
            self._at += 1
            return self._take(name, found)
        if not self._text.startswith(":-", self._at):
            raise _Malformed(f"invalid variable; only `:-` may follow the name, as in ${{{name}:-default}}")
        self._at += 2
        return self._with_default(name, found if found and found.value else None)

    def _take(self, name: str, found: Variable | None) -> str:
        if found is None:
            self.missing.append(name)
            return ""
        self.used.append(found.place)
        return found.value

    def _with_default(self, name: str, found: Variable | None) -> str:
        used, missing = list(self.used), list(self.missing)
        default = self.run("}")
        if found is None:
            self.optional = True
            return default
        self.used, self.missing = used, missing  # the default is not needed, nor what it names
        return self._take(name, found)


def read_dotenv(path: Path, shown: str) -> tuple[dict[str, str], list[Problem]]:
    """The variables of a `.env` file; none when there is no such file. What cannot be understood is a warning."""
    if not path.is_file():
        return {}, []
    try:
        text = decode(read_bytes(path, _MAX_BYTES, "it is not read"))
    except OSError as error:
        return {}, [_warning(Mark(source=shown), unreadable(path, error))]
    except ValueError as error:
        return {}, [_warning(Mark(source=shown), str(error))]
    return _parse(text.replace("\r\n", "\n"), shown)


def _parse(text: str, shown: str) -> tuple[dict[str, str], list[Problem]]:
    values: dict[str, str] = {}
    problems: list[Problem] = []
    at = 0
    while at < len(text):
        line_end = text.find("\n", at) if "\n" in text[at:] else len(text)
        line = text[at:line_end]
        found = _LINE.match(line)
        if not line.strip() or line.lstrip().startswith("#"):
            at = line_end + 1
        elif not found:
            mark = Mark(source=shown, line=text.count("\n", 0, at) + 1, column=1)
            problems.append(_warning(mark, "the line is ignored; it must be NAME=value"))
            at = line_end + 1
        else:
            value, at = _value(text, at + found.end(), line_end)
            values[found["name"]] = value
    return values, problems


def _value(text: str, start: int, line_end: int) -> tuple[str, int]:
    """The value that begins at `start`, and where the next line does. Quoted values may hold line ends."""
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
