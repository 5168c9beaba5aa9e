"""Read a configuration, YAML text or Python values, into a tree of values with their positions.

YAML is composed, never constructed: no tag runs code, aliases are counted as they expand, and plain words follow
YAML 1.2 (`on`, `1:30` and `2024-10-21` are text). A number keeps its spelling for keys that take text. Begin reading at
`read`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from llmproxy.config.problems import Mark, Problem
from llmproxy.system_errors import explain_fault

MAX_DOCUMENT_BYTES = 1024 * 1024
MAX_VALUES = 100_000
MAX_DEPTH = 100
_LONGEST_MESSAGE = 600
_UNUSABLE = re.compile("[\0\ud800-\udfff]")  # in paths, names and headers
_JSON = re.compile(r"(?:\s|//[^\n]*\n|/\*.*?\*/)*\{\s*[\"/]", re.DOTALL)
_NO_YAML = re.compile(r'"(?:[^"\\\n]|\\.)*"|(?<![^\s,{}\[\]])(?://[^\n]*|/\*.*?\*/)|\t', re.DOTALL)
_TOO_MANY = f"anchors and aliases expand to more than {MAX_VALUES:,} values"

Scalar = str | int | float | bool | None


@dataclass(slots=True, kw_only=True)
class ConfigNode:
    """One value of the tree.

    `key` is its path as the user wrote it, `key_mark` the position of its key. `text` is the spelling of a plain
    scalar, `folded` means that this goes on in further lines. `blank` means that the key has no value, `literal` that
    `${...}` in it is not expanded, `stand_in` that it replaces a missing variable. `variables` names the variables it
    comes from, such as "environment variable X", `defaulted` the missing ones whose default it is.
    """

    value: Scalar | list[ConfigNode] | dict[str, ConfigNode]
    mark: Mark
    key: str = ""
    key_mark: Mark | None = None
    text: str | None = None
    folded: bool = False
    blank: bool = False
    literal: bool = False
    stand_in: bool = False
    variables: tuple[str, ...] = field(default=())
    defaulted: tuple[str, ...] = ()

    @property
    def members(self) -> dict[str, ConfigNode]:
        """Return the members of a mapping; empty for everything else."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> list[ConfigNode]:
        """Return the items of a list; empty for everything else."""
        return self.value if isinstance(self.value, list) else []

    @property
    def word(self) -> str | None:
        """Return the scalar as text; None for null, a list or a mapping."""
        if isinstance(self.value, (list, dict)) or self.value is None:
            return None
        return self.value if isinstance(self.value, str) else self.text or str(self.value)

    def problem(self, message: str, code: str = "invalid-value") -> Problem:
        """Report this value. A variable may hold a secret, so the message has its name instead of its value."""
        if self.variables and self.mark.source not in self.variables and isinstance(self.value, str):
            place = " and ".join(self.variables)
            message = message.replace(repr(self.value), place)
            if len(self.value) > 5:
                message = message.replace(self.value, place)
        if len(message) > _LONGEST_MESSAGE:
            message = f"{message[:_LONGEST_MESSAGE]}..."
        return Problem(mark=self.mark, key=self.key, message=message, code=code)

    def plain(self) -> Any:
        """Return the tree as Python values, without blank keys."""
        if isinstance(self.value, dict):
            return {name: member.plain() for name, member in self.value.items() if not member.blank}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value


def below(key: str, name: str | int) -> str:
    """Return the path of a member: `server.port`, `providers[1]`."""
    if isinstance(name, int):
        return f"{key}[{name}]"
    step = name if re.fullmatch(r"[\w\-./*]+", name) else repr(name[:60])
    return f"{key}.{step}" if key else step


def read(path: Path, display_name: str) -> tuple[ConfigNode | None, list[Problem]]:
    """Read the file at `path`, which problems call `display_name`. Return no tree when it cannot be used at all."""
    try:
        text = decode(read_bytes(path, MAX_DOCUMENT_BYTES, "a configuration must be shorter"))
    except FileNotFoundError:
        return None, [Problem(mark=Mark(source=display_name), message="file not found", code="unreadable")]
    except OSError as error:
        return None, [Problem(mark=Mark(source=display_name), message=explain_unreadable(error), code="unreadable")]
    except _Undecodable as error:
        mark = Mark(source=display_name, line=error.line, column=error.column)
        return None, [Problem(mark=mark, message=str(error), code="not-utf-8")]
    return parse_yaml(json_as_yaml(text), display_name)


def json_as_yaml(text: str) -> str:
    """Return JSON, perhaps with comments, in a form that is YAML too, with every position kept; other text as it is.

    YAML allows no tabs for indentation and has other comments.
    """
    if not _JSON.match(text):
        return text
    return _NO_YAML.sub(lambda each: each[0] if each[0][0] == '"' else re.sub(r"[^\n]", " ", each[0]), text)


def read_bytes(path: Path, limit: int, why: str) -> bytes:
    """Read the file. Raise OSError, also for more than `limit` bytes."""
    if path.is_dir():
        raise IsADirectoryError("is a directory, not a file")
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(f"is longer than {limit // 1024} KB; {why}")
    return data


def explain_unreadable(error: OSError) -> str:
    """Return why a file cannot be read, without its name."""
    return f"cannot be read: {explain_fault(error)}" if error.errno else str(error)


class _Undecodable(ValueError):
    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


def decode(data: bytes) -> str:
    """Decode UTF-8 with or without a byte-order mark, or UTF-16 with one, as some Windows programs write it."""
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        before = data[: error.start].decode(encoding, errors="replace")
        line, column = _position(before)
        message = f"is not UTF-8 (byte 0x{data[error.start]:02X}); save the file as UTF-8"
        raise _Undecodable(message, line, column) from None


def _position(before: str) -> tuple[int, int]:
    lines = re.split(r"\r\n|\r|\n", before)
    return len(lines), len(lines[-1]) + 1


def from_python(value: object, source: str, key: str = "") -> ConfigNode:
    """Build the tree of Python values (mappings, sequences, scalars; anything else as its text)."""
    node = ConfigNode(value=None, mark=Mark(source=source), key=key)
    if isinstance(value, Mapping):
        node.value = {str(name): from_python(member, source, below(key, str(name))) for name, member in value.items()}
    elif isinstance(value, (list, tuple)):
        node.value = [from_python(item, source, below(key, index)) for index, item in enumerate(value)]
    elif value is None or isinstance(value, (str, int, float)):
        node.value = value
    else:
        node.value = str(value)
    if isinstance(node.value, (int, float)):
        node.text = str(node.value)
    return node


def parse_yaml(text: str, source: str) -> tuple[ConfigNode | None, list[Problem]]:
    """Build the tree of YAML `text`; its top is a mapping."""
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        top = loader.get_single_node()
    except yaml.YAMLError as error:
        return None, [_syntax_problem(error, source, text)]
    except RecursionError:
        return None, [Problem(mark=Mark(source=source), message="is nested too deeply", code="syntax")]
    finally:
        if loader is not None:
            loader.dispose()
    if top is None or (isinstance(top, yaml.ScalarNode) and not top.value):
        message = "is empty; `llmproxy generate-config` writes an example"
        return None, [Problem(mark=Mark(source=source), message=message, code="empty")]
    if not isinstance(top, yaml.MappingNode):
        kind = "a list" if isinstance(top, yaml.SequenceNode) else "plain text"
        message = f"must contain sections such as `server:` and `providers:`, not {kind}"
        return None, [Problem(mark=_mark(top, source), message=message, code="syntax")]
    builder = _TreeBuilder(source)
    try:
        return builder.value(top, ""), builder.problems
    except _TooManyValues as error:
        return None, [*builder.problems, error.problem]


def check_folded(node: ConfigNode) -> Iterator[Problem]:
    """Yield a warning for each text that goes on in the next line without quotes. YAML joins the lines."""
    if node.folded:
        message = "goes on in the next line; correct its indentation, add a missing `- `, or put the text in quotes"
        yield Problem(mark=node.mark, key=node.key, message=message, code="several-lines", severity="warning")
    for each in (*node.members.values(), *node.items):
        yield from check_folded(each)


class _Loader(yaml.SafeLoader):
    """SafeLoader with the plain words of YAML 1.2's core schema."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (the base class shares its own among all loaders)


_TAG = "tag:yaml.org,2002:"
_CORE: tuple[tuple[str, str, list[str]], ...] = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),
)
for _name, _pattern, _first in _CORE:
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"^(?:{_pattern})$"), _first)

_CONVERSIONS: Mapping[str, Callable[[str], Scalar]] = {
    _TAG + "str": str,
    _TAG + "null": lambda text: None,
    _TAG + "bool": lambda text: {"true": True, "false": False}[text.lower()],
    _TAG + "int": int,
    _TAG + "float": lambda text: float(text.lower().replace(".inf", "inf").replace(".nan", "nan")),
}


class _TooManyValues(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class _TreeBuilder:
    """Builds the tree of a composed document, with aliases and merge keys expanded, and collects its problems."""

    def __init__(self, source: str) -> None:
        self.problems: list[Problem] = []
        self._source = source
        self._open: set[int] = set()
        self._count = 0

    def value(self, node: yaml.Node, key: str) -> ConfigNode:
        self._count += 1
        if self._count > MAX_VALUES:
            raise _TooManyValues(self._problem(node, key, _TOO_MANY))
        if len(self._open) >= MAX_DEPTH:
            raise _TooManyValues(self._problem(node, "", "is nested too deeply"))
        if id(node) in self._open:
            raise _TooManyValues(self._problem(node, key, "an alias refers to an anchor that contains it"))
        result = ConfigNode(value=None, mark=_mark(node, self._source), key=key)
        if isinstance(node, yaml.ScalarNode):
            self._scalar(node, result)
            return result
        if node.tag not in (_TAG + "map", _TAG + "seq"):
            self.problems.append(
                self._problem(node, key, f"the tag {_short_tag(node.tag)} is not supported; remove it")
            )
        self._open.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            result.value = [self.value(item, below(key, index)) for index, item in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode):
            result.value = self._mapping(node, key)
        self._open.discard(id(node))
        return result

    def _scalar(self, node: yaml.ScalarNode, result: ConfigNode) -> None:
        convert = _CONVERSIONS.get(node.tag)
        if convert is None:
            self.problems.append(
                self._problem(node, result.key, f"the tag {_short_tag(node.tag)} is not supported; remove it")
            )
            convert = str
        if _UNUSABLE.search(node.value):
            self.problems.append(self._problem(node, result.key, "contains a character that cannot be used; remove it"))
        try:
            result.value = convert(node.value)
        except (ValueError, KeyError):
            result.value = node.value
        if not isinstance(result.value, str):
            result.text = node.value
        result.folded = node.style is None and node.end_mark.line > node.start_mark.line
        result.blank = result.value is None and not node.value

    def _mapping(self, node: yaml.MappingNode, key: str) -> dict[str, ConfigNode]:
        members: dict[str, ConfigNode] = {}
        merged: list[dict[str, ConfigNode]] = []
        for name, value in node.value:
            if name.tag == _TAG + "merge":
                merged += self._merged(value, key)
            elif isinstance(name, yaml.ScalarNode):
                self._member(members, name, value, key)
            else:
                self.problems.append(
                    self._problem(name, key, "a key must be plain text; put a value that begins with { or [ in quotes")
                )
        for more in merged:
            members |= {name: value for name, value in more.items() if name not in members}
        return members

    def _member(self, members: dict[str, ConfigNode], name: yaml.ScalarNode, value: yaml.Node, key: str) -> None:
        result = self.value(value, below(key, name.value))
        result.key_mark = _mark(name, self._source)
        if first := members.get(name.value):
            line = first.key_mark.line if first.key_mark else None
            message = f"duplicate key; the first one is on line {line}"
            self.problems.append(Problem(mark=result.key_mark, key=result.key, message=message, code="duplicate-key"))
        else:
            members[name.value] = result

    def _merged(self, value: yaml.Node, key: str) -> list[dict[str, ConfigNode]]:
        """Return the mappings of `<<:`: one, or those of a list, of which the first wins."""
        result = self.value(value, key)
        mappings = [result] if isinstance(result.value, dict) else result.items
        if not mappings or not all(isinstance(each.value, dict) for each in mappings):
            self.problems.append(self._problem(value, below(key, "<<"), "`<<` can only merge blocks of keys"))
        return [each.members for each in mappings]

    def _problem(self, node: yaml.Node, key: str, message: str) -> Problem:
        return Problem(mark=_mark(node, self._source), key=key, message=message, code="syntax")


def _mark(node: yaml.Node, source: str) -> Mark:
    return Mark(source=source, line=node.start_mark.line + 1, column=node.start_mark.column + 1)


def _short_tag(tag: str) -> str:
    return tag.replace(_TAG, "!!")


# Words of the parser, and our message.
_REMEDIES = (
    ("'\\t'", "a tab is used for indentation; use spaces"),
    (
        "mapping values are not allowed",
        "`: ` is not allowed here; put the value in quotes, or correct the indentation",
    ),
    ("could not find expected ':'", "a `:` is missing after a key; check the line above"),
    ("while scanning an alias", "a value that begins with * must be in quotes"),
    ("undefined alias", "a value that begins with * must be in quotes"),
    ("while scanning an anchor", "a value that begins with & must be in quotes"),
    ("cannot start any token", "a value that begins with this character must be in quotes"),
    ("expected <block end>", "unexpected line; check its indentation"),
    ("escape", 'a \\ in "double quotes" begins an escape; write \\\\ or use single quotes'),
    ("while scanning a quoted scalar", "a quote is not closed"),
    (
        "while parsing a flow",
        "a bracket is not closed, or a comma or quotes are missing; inside {} and [], `${VAR}` needs quotes",
    ),
    ("expected '<document start>'", "unexpected text; a configuration is YAML or JSON, and this line is neither"),
    ("expected a single document", "a second document begins here; keep only one"),
)


def _syntax_problem(error: yaml.YAMLError, source: str, text: str) -> Problem:
    mark = Mark(source=source)
    reason = str(error)
    if isinstance(error, yaml.MarkedYAMLError):
        reason = f"{error.context or ''}: {error.problem or ''}".strip(": ")
        endless = "unexpected end of stream" in reason or "document separator" in reason
        if place := (error.context_mark if endless else error.problem_mark) or error.context_mark:
            mark = Mark(source=source, line=place.line + 1, column=place.column + 1)
    elif isinstance(error, yaml.reader.ReaderError):
        line, column = _position(text[: error.position])
        mark = Mark(source=source, line=line, column=column)
        reason = f"the character U+{ord(text[error.position]):04X} is not allowed in YAML; remove it"
    remedy = next((remedy for words, remedy in _REMEDIES if words in reason), reason)
    return Problem(mark=mark, message=f"is not valid YAML: {remedy}", code="syntax")
