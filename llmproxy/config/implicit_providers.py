"""The providers that nobody wrote down: those that the environment names or has keys for, and else the stub.

Which variables are usual for a type stands with the type (`Service.key_env`, `Service.base_url_env`). Begin reading at
`complete`.
"""

from __future__ import annotations

from pathlib import Path

from llmproxy.config import legacy_keys as spellings
from llmproxy.config.cross_checks import entries, points_home, word
from llmproxy.config.document import Node
from llmproxy.config.environment import Environment, Variable
from llmproxy.config.problems import Mark, Problem
from llmproxy.providers.base import HttpProvider, Service
from llmproxy.registry import find, names

STUB = "stub"


def complete(top: Node, environment: Environment) -> tuple[str, list[Problem]]:
    """Add the providers that the environment names, and when nothing else names one, those that it has keys for.

    Gives the reason, in words, when the latter was done, and warnings.
    """
    making = _Making(top, environment)
    configured = any(top.members[name].value is not None for name in ("llm", "providers") if name in top.members)
    for name in _named(top):
        making.add(name, named=True)
    if configured:
        return "", making.problems
    usual = [name for name in names("providers") if making.usual(name) and making.add(name)]
    if not usual and "default_provider" not in top.members:
        making.add(STUB, everything=True)
        return "no key variable is set, so the stub answers every model", making.problems
    return "the providers whose variables are set", making.problems


def _named(top: Node) -> list[str]:
    """The providers that variables name and no file lists."""
    found = [top.members[name] for name in ("default_provider",) if name in top.members]
    for model in top.members["models"].items if "models" in top.members else []:
        targets = model.members["targets"].items if "targets" in model.members else []
        found += [target.members["provider"] for target in targets if "provider" in target.members]
    return [node.word for node in found if node.literal and node.word and node.variables]


class _Making:
    """Adds entries to `providers`, made of variables."""

    def __init__(self, top: Node, environment: Environment) -> None:
        self.problems: list[Problem] = []
        self._top = top
        self._environment = environment
        self._taken: set[str] = set()

    def usual(self, type_: str) -> bool:
        """Whether the environment has the key of that type, or its address where it has no usual one."""
        service = _service(type_)
        name = (service.key_env if service.origin else service.base_url_env) if service else None
        return bool(name and name not in self._taken and self._environment.filled(name))

    def add(self, type_: str, *, named: bool = False, everything: bool = False) -> bool:
        """Add the provider of that type, called after it, unless there is one of that name or no such type."""
        if type_ not in names("providers") or any(word(entry, "name") == type_ for entry in entries(self._top)):
            return False
        place = Mark(source="the environment")
        members = {name: Node(value=type_, mark=place, literal=True) for name in ("name", "type")}
        for key, variable in _variables(type_, self._environment, named).items():
            if found := self._environment.filled(variable):
                self._taken.add(variable)
                members |= self._member(key, variable, found)
        if everything:
            members["models"] = Node(value=[Node(value="*", mark=place, literal=True)], mark=place)
        providers = self._top.members.get("providers")
        if providers is None or not isinstance(providers.value, list):
            providers = self._top.members["providers"] = Node(value=[], mark=place)
        providers.items.append(Node(value=members, mark=place))
        return True

    def _member(self, key: str, variable: str, found: Variable) -> dict[str, Node]:
        place = Mark(source=found.place)
        if key == "base_url" and points_home(self._top, found.value):
            said = "is the address of this proxy, so it is meant for clients; it is ignored"
            self.problems.append(Problem(mark=place, message=said, code="calls-itself", severity="warning"))
            return {}
        members = {key: Node(value=found.value.strip(), mark=place, literal=True, variables=(found.place,))}
        if variable == spellings.COMPATIBLE_VARIABLES["api_key"]:
            members["auth"] = Node(value="passthrough", mark=place, literal=True)
        return members


def _variables(type_: str, environment: Environment, named: bool) -> dict[str, str]:
    """The variables of a type by the key they fill."""
    service = _service(type_)
    usual = {"api_key": service.key_env, "base_url": service.base_url_env} if service else {}
    if named and type_ == spellings.COMPATIBLE:
        usual |= {key: name for key, name in spellings.COMPATIBLE_VARIABLES.items() if environment.filled(name)}
    return {key: variable for key, variable in usual.items() if variable}


def _service(type_: str) -> Service | None:
    component = find("providers", type_, Path())
    return component.Config.services[type_] if issubclass(component, HttpProvider) else None
