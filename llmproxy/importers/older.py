"""Import configurations of the programs that llmproxy replaces: YAML with older keys, and `.env` files.

`serve` reads them as they are; the import writes them with the keys of today. What each older key means, the
configuration knows (`legacy_keys.py`). Begin reading at `import_older`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llmproxy.config import legacy_keys
from llmproxy.config.document import ConfigNode, below
from llmproxy.config.environment import Environment, read_dotenv
from llmproxy.config.implicit_providers import add_implicit_providers
from llmproxy.config.legacy_limits import ENABLED, MAX_REQUESTS, WINDOW_SECONDS, overlay_limits
from llmproxy.config.load import load
from llmproxy.config.problems import ConfigError, Mark, Problem
from llmproxy.config.provider_types import service_of
from llmproxy.importers.draft import Draft, leaves
from llmproxy.redaction.names import is_secret
from llmproxy.registry import names

_WORDS: Mapping[str, object] = {"true": True, "false": False}
_VARIABLE = re.compile(r"os\.environ/(\w+)")
# Variables that switch others on, and what these are for.
_SWITCHES: Mapping[str, str] = {ENABLED: "limits", "ENABLE_TELEMETRY": "telemetry", "PROXY_API_DEBUG": "logging.level"}
# Keys that people look for first in a block.
_FIRST = ("name", "type", "provider", "model")


def import_older(top: ConfigNode, path: Path) -> Draft:
    """Return the configuration in the file `path`, whose tree is `top`. Raises ConfigError for mistakes in it."""
    problems = load(str(path), no_env=True).problems
    mistakes = [each for each in problems if each.severity == "error" and each.code != "unknown-key"]
    if mistakes:
        raise ConfigError(mistakes)
    unknown = {each.key: each for each in problems if each.code == "unknown-key"}
    draft = Draft(top, _translate)
    sources = {_place(each): each for each in leaves(top)}
    moved = copy.deepcopy(top)
    legacy_keys.modernise(moved, Environment({}, {}))
    writer = _Writer(draft, sources, unknown)
    draft.config = writer.block(moved, "")
    for each in _nodes(top):
        if each.key in unknown and each is not top:
            draft.unsupported(each, unknown[each.key].message)
    writer.grade_rest()
    return draft


def _translate(text: str) -> str:
    """Return a value with a reference to a variable in the form of today."""
    reference = _VARIABLE.fullmatch(text.strip())
    return f"${{{reference[1]}}}" if reference else text


def _place(node: ConfigNode) -> tuple[int | None, int | None]:
    return node.mark.line, node.mark.column


def _nodes(node: ConfigNode) -> Iterator[ConfigNode]:
    yield node
    for child in [*node.members.values(), *node.items]:
        yield from _nodes(child)


class _Writer:
    """Copies the moved tree, and grades the source's lines by where they are now."""

    def __init__(
        self, draft: Draft, sources: dict[tuple[int | None, int | None], ConfigNode], unknown: dict[str, Problem]
    ) -> None:
        self._draft = draft
        self._sources = sources
        self._unknown = unknown
        self._placed: dict[int, str] = {}

    def block(self, node: ConfigNode, path: str) -> dict[str, Any]:
        """Return a copy of a block of keys."""
        service = service_of((type_.word or "") if (type_ := node.members.get("type")) is not None else "")
        usual = (service.key_env if service is not None else None) or ""
        members = {**{name: node.members[name] for name in _FIRST if name in node.members}, **node.members}
        return {
            name: self._value(member, below(path, name), usual if name == "api_key" else "")
            for name, member in members.items()
            if not member.blank and member.key not in self._unknown
        }

    def _value(self, node: ConfigNode, path: str, variable: str) -> Any:
        if isinstance(node.value, dict):
            return self.block(node, path)
        if isinstance(node.value, list):
            return [self._value(item, f"{path}[{place}]", "") for place, item in enumerate(node.value)]
        source = self._sources.get(_place(node))
        if source is None:
            return node.value
        # A text that is the source's own may be a credential; one that was made of it is not.
        text = self._draft.text(source, variable) if node.value == source.value else None
        self._placed[id(source)] = path
        self._draft.exact(source, path)
        return text if text is not None and isinstance(node.value, str) else node.value

    def grade_rest(self) -> None:
        """Grade values that stand in the outcome only once: settings of a provider that several deployments share."""
        by_value = {
            _meaning(each): self._placed[id(each)] for each in self._sources.values() if id(each) in self._placed
        }
        for each in self._sources.values():
            if id(each) not in self._placed and each.key not in self._unknown and not each.blank:
                place = by_value.get(_meaning(each), "")
                self._draft.exact(each, place, "together with other keys")


def _meaning(node: ConfigNode) -> tuple[str, str | None]:
    return node.key.rpartition(".")[2], node.word


def is_dotenv(path: Path) -> bool:
    """Return whether a file is one of variables, by its name: `.env`, `.env.example`, `prod.env`."""
    return path.name.startswith(".env") or path.suffix == ".env"


def import_dotenv(path: Path, display_name: str) -> Draft:
    """Return what the variables in a `.env` file configure. Credentials stay there. Raises ConfigError."""
    values, problems = read_dotenv(path, display_name)
    environment = Environment({}, values, display_name)
    top = _tree(path.read_text(encoding="utf-8", errors="replace"), values, display_name)
    moved = ConfigNode(value={}, mark=Mark(source=display_name))
    problems += legacy_keys.overlay_environment(moved, environment)
    problems += overlay_limits(moved, environment)
    if problems := [each for each in problems if each.severity == "error"]:
        raise ConfigError(problems)
    add_implicit_providers(moved, environment, written=False)
    draft = Draft(top, str)
    places: dict[str, str] = {}
    draft.config = _expanded(moved, "", places)
    for name, node in top.members.items():
        if name in places:
            draft.exact(node, places[name], "its value stays in the environment" if is_secret(name) else "")
        elif not values[name]:
            draft.exact(node, "", "empty")
        elif name in _SWITCHES:
            draft.exact(node, _SWITCHES[name])
        elif (reason := _without_effect(name, "llm" in moved.members)) is not None:
            draft.exact(node, "", f"without effect: {reason}")
    return draft


def _without_effect(name: str, one_upstream: bool) -> str | None:
    """Return why a variable that llmproxy knows changes nothing here; None for one that it does not know."""
    if name in (MAX_REQUESTS, WINDOW_SECONDS):
        return f"{ENABLED} is not true"
    if name not in _provider_variables():
        return None
    if one_upstream:
        return "`llm` takes every request; to use it too, add an entry to `providers`"
    return "other variables of that provider are missing"


def _provider_variables() -> set[str]:
    """Return the variables that configure a provider of their own."""
    services = [service for type_ in names("providers") if (service := service_of(type_)) is not None]
    found = {name for each in services for name in (each.key_env, each.base_url_env) if name}
    return found.union(*(group for each in services for group in (*each.usual, *each.variables.values())))


def _tree(text: str, values: dict[str, str], display_name: str) -> ConfigNode:
    """Return the variables of a file as a tree with their lines."""
    top = ConfigNode(value={}, mark=Mark(source=display_name, line=1, column=1))
    for number, line in enumerate(text.splitlines(), start=1):
        match = re.match(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.]*)\s*=", line)
        if match is not None and match[1] in values:
            mark = Mark(source=display_name, line=number, column=1)
            top.members[match[1]] = ConfigNode(value=values[match[1]], mark=mark, key=match[1], key_mark=mark)
    return top


def _expanded(node: ConfigNode, path: str, places: dict[str, str]) -> Any:
    """Return a copy of a tree that was made of variables: with a reference where it holds a credential."""
    if isinstance(node.value, dict):
        return {name: _expanded(member, below(path, name), places) for name, member in node.value.items()}
    if isinstance(node.value, list):
        return [_expanded(item, f"{path}[{place}]", places) for place, item in enumerate(node.value)]
    names = [each.partition(" ")[0] for each in node.variables]
    for name in names:
        places.setdefault(name, path)
    if names and is_secret(path.rpartition(".")[2]):
        return f"${{{names[0]}}}"
    text = node.value
    if not isinstance(text, str):
        return text
    word = _WORDS.get(text.lower(), text)
    return int(text) if text.isascii() and text.isdecimal() else word
