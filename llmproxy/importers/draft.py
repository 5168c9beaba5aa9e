"""The configuration that grows while a source is read, and the grade of each line of the source.

Credentials in plain text never reach it: `text` puts a variable in their place. Begin reading at `Draft`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from llmproxy.config.document import ConfigNode
from llmproxy.config.pasted_keys import looks_like_key
from llmproxy.redaction.names import is_secret, redact_url
from llmproxy.redaction.secrets import PLACEHOLDER_KEYS

# What people write where a key is required and not used, beside what the documentation of services says.
_NO_KEY = PLACEHOLDER_KEYS | {"dummy", "empty", "fake", "fake-key", "none", "null", "x"}
_REFERENCE = re.compile(r"(?<!\$)\$\{(\w+)")
ConfigBlock = dict[str, Any]


class Grade(StrEnum):
    """Hold how much of a line is in the outcome, from all to nothing."""

    exact = "exact"
    approximate = "approximate"
    by_hand = "by hand"
    unsupported = "unsupported"


_ORDER = list(Grade)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The grade of one key of the source. `line` and `last_line` are its lines (from 1), `becomes` is the key that has
    its value now, `message` what differs or what to do."""

    line: int
    last_line: int
    key: str
    grade: Grade
    becomes: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVariable:
    """A variable to set to a credential that stands in plain text in the source; where that is too short for llmproxy,
    to a new one of at least `least_length` characters."""

    name: str
    key: str
    line: int
    least_length: int = 0


class Draft:
    """A configuration of llmproxy in the making, from the source whose tree is `top`.

    `translate` turns text of the source into text of ours: its references to variables into `${NAME}`. `comments` are
    remarks for single keys of the outcome, by the identity of their block and their name.
    """

    def __init__(self, top: ConfigNode, translate: Callable[[str], str]) -> None:
        self.config: ConfigBlock = {}
        self.variables: list[NewVariable] = []
        self.comments: dict[tuple[int, str], list[str]] = {}
        self._top = top
        self._translate = translate
        self._findings: dict[int, Finding] = {}
        self._by_secret: dict[str, str] = {}
        self._taken = {name for leaf in leaves(top) for name in _REFERENCE.findall(translate(leaf.word or ""))}

    def exact(self, node: ConfigNode, becomes: str, message: str = "") -> None:
        """Grade a line that is in the outcome as it was meant."""
        self._grade(node, Grade.exact, becomes, message)

    def approximate(self, node: ConfigNode, becomes: str, message: str) -> None:
        """Grade a line that is in the outcome with a difference."""
        self._grade(node, Grade.approximate, becomes, message)

    def by_hand(self, node: ConfigNode, message: str, at: tuple[ConfigBlock, str] | None = None) -> None:
        """Grade a line that needs a hand; `at` is the key of the outcome beside which the remark is to stand."""
        self._grade(node, Grade.by_hand, "", message, at)

    def unsupported(self, node: ConfigNode, message: str) -> None:
        """Grade a line that llmproxy has nothing for."""
        self._grade(node, Grade.unsupported, "", message)

    def _grade(
        self, node: ConfigNode, grade: Grade, becomes: str, message: str, at: tuple[ConfigBlock, str] | None = None
    ) -> None:
        """Grade `node` with everything below it. Of several grades the worst one counts."""
        first, last = _lines(node)
        new = Finding(line=first, last_line=last, key=node.key, grade=grade, becomes=becomes, message=message)
        if (old := self._findings.get(id(node))) is not None:
            worst = max(old.grade, grade, key=_ORDER.index)
            words = "; ".join(dict.fromkeys(filter(None, (old.message, message))))
            new = replace(new, grade=worst, becomes=becomes or old.becomes, message=words)
        self._findings[id(node)] = new
        if at is not None:
            self.comments.setdefault((id(at[0]), at[1]), []).append(f"line {first}: {message}")

    def findings(self) -> list[Finding]:
        """Return the grades of the whole source in its order, those of lines that nobody read included."""
        self._grade_rest(self._top)
        return sorted(self._findings.values(), key=lambda each: (each.line, each.last_line, each.key))

    def _grade_rest(self, node: ConfigNode) -> None:
        if id(node) in self._findings:
            return
        children = [*node.members.values(), *node.items]
        if node is self._top or any(self.is_read(child) for child in children):
            for child in children:
                self._grade_rest(child)
        elif is_empty(node):
            self.exact(node, "", "empty")
        else:
            self.unsupported(node, "llmproxy has no such setting")

    def is_read(self, node: ConfigNode) -> bool:
        """Return whether something in `node` has a grade."""
        return id(node) in self._findings or any(map(self.is_read, [*node.members.values(), *node.items]))

    def section(self, *path: str) -> ConfigBlock:
        """Return the block at `path` of the outcome, a new one where there is none."""
        block = self.config
        for name in path:
            block = block.setdefault(name, {})
        return block

    def entries(self, name: str) -> list[ConfigBlock]:
        """Return the list at the top of the outcome, a new one where there is none."""
        found: list[ConfigBlock] = self.config.setdefault(name, [])
        return found

    def model(self, name: str) -> ConfigBlock:
        """Return the entry of `models` with that name, a new one where there is none."""
        found = next((each for each in self.entries("models") if each["name"] == name), None)
        if found is None:
            found = {"name": name, "targets": []}
            self.entries("models").append(found)
        return found

    def provider(self, preferred: str, settings: ConfigBlock) -> ConfigBlock:
        """Return the entry of `providers` with these settings (all but the name), a new one where there is none."""
        entries = self.entries("providers")
        for entry in entries:
            if {key: value for key, value in entry.items() if key != "name"} == settings:
                return entry
        name = base = re.sub(r"[^A-Za-z0-9._-]+", "-", preferred).strip("-._") or "provider"
        number = 2
        while any(entry["name"] == name for entry in entries):
            name, number = f"{base}-{number}", number + 1
        entries.append({"name": name, **settings})
        return entries[-1]

    def text(self, node: ConfigNode, variable: str = "", *, least_length: int = 0) -> str:
        """Return the text of `node` for the outcome.

        A credential becomes a variable, named `variable` if that is free: `node` is one when `variable` is given, when
        its key says so, or when it looks like one. The node is graded then. Here it needs `least_length` characters.
        """
        text = self._translate(node.word or "")
        if _REFERENCE.search(text) or not text.strip() or text.lower() in _NO_KEY:
            return text
        name = _last_word(node.key)
        if not (variable or is_secret(name) or looks_like_key(text) or redact_url(text) != text):
            return text
        new = self._variable(text, variable or variable_name(name))
        least = least_length if len(text) < least_length else 0
        self.variables.append(NewVariable(name=new, key=node.key, line=_lines(node)[0], least_length=least))
        self.by_hand(node, credential_message(self.variables[-1]))
        return f"${{{new}}}"

    def _variable(self, secret: str, preferred: str) -> str:
        if secret not in self._by_secret:
            name, number = preferred, 2
            while name in self._taken:
                name, number = f"{preferred}_{number}", number + 1
            self._taken.add(name)
            self._by_secret[secret] = name
        return self._by_secret[secret]

    def value(self, node: ConfigNode) -> Any:
        """Return a copy of `node` for the outcome: texts as `text` returns them."""
        if isinstance(node.value, dict):
            return {name: self.value(member) for name, member in node.value.items()}
        if isinstance(node.value, list):
            return [self.value(item) for item in node.value]
        return self.text(node) if isinstance(node.value, str) else node.value


def is_empty(node: ConfigNode) -> bool:
    """Return whether a key has no value: such a line sets nothing."""
    return node.value in (None, "", [], {})


def with_values(members: Mapping[str, ConfigNode]) -> dict[str, ConfigNode]:
    """Return the members that have a value."""
    return {name: node for name, node in members.items() if not is_empty(node)}


def quote_name(name: str) -> str:
    """Return a name of the source for a message, unless a credential stands there by mistake."""
    return "that" if looks_like_key(name) else repr(name)


def variable_name(*words: str) -> str:
    """Return the name of a variable that is made of `words`."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", "_".join(words)).strip("_").upper()
    return name if name[:1].isalpha() else f"KEY_{name}".rstrip("_")


def credential_message(variable: NewVariable) -> str:
    """Return the remark on a credential in plain text that is now in a variable."""
    if variable.least_length:
        return f"a credential in plain text, too short here; set {variable.name} to a new one"
    return f"a credential in plain text; set {variable.name} to it"


def instructions(variables: Sequence[NewVariable], source: str = "") -> Iterator[str]:
    """Yield for each name in `variables` what to set it to, without a full stop; `source` is added to line numbers."""
    for name in dict.fromkeys(each.name for each in variables):
        same = [each for each in variables if each.name == name]
        credential = f"credential in line {', '.join(str(each.line) for each in same)}{source}"
        if least := max(each.least_length for each in same):
            yield f"Set {name} to a new key of at least {least} characters: the {credential} is too short"
        else:
            yield f"Set {name} to the {credential}"


def leaves(node: ConfigNode) -> Iterator[ConfigNode]:
    """Yield the values below `node` that hold no others."""
    children = [*node.members.values(), *node.items]
    if not children:
        yield node
    for child in children:
        yield from leaves(child)


def _lines(node: ConfigNode) -> tuple[int, int]:
    first = (node.key_mark or node.mark).line or 0
    return first, max((leaf.mark.line or 0 for leaf in leaves(node)), default=first)


def _last_word(key: str) -> str:
    return re.sub(r"\[\d+\]$", "", key).rpartition(".")[2].strip("'")


def number(node: ConfigNode) -> int | float | None:
    """Return the number in `node`, also where it is written as text; None for anything else."""
    if isinstance(node.value, bool) or node.word is None:
        return None
    try:
        value = float(node.word)
    except ValueError:
        return None
    return int(value) if value.is_integer() else value


def whole(node: ConfigNode, least: int = 0) -> int | None:
    """Return the whole number in `node`; None for anything else, and for less than `least`."""
    value = number(node)
    return value if isinstance(value, int) and value >= least else None
