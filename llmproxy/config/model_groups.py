"""Turn model groups, an older form of `models`, into models and providers.

Works on the tree before variables are expanded. Begin reading at `unfold_groups`.
"""

from __future__ import annotations

import re
from collections.abc import Container
from urllib.parse import urlsplit

from llmproxy.config.document import ConfigNode, below
from llmproxy.config.environment import Environment, expand
from llmproxy.config.problems import Problem
from llmproxy.config.provider_types import service_of
from llmproxy.config.validate import unknown_key, wrong_kind
from llmproxy.registry import names


def set_twice(node: ConfigNode, message: str) -> Problem:
    """Report a key that stands beside another one of the same meaning."""
    return Problem(mark=node.key_mark or node.mark, key=node.key, message=message, code="set-twice")


def is_set(holder: ConfigNode, name: str) -> bool:
    """Return whether a key has a value."""
    return name in holder.members and not holder.members[name].blank


def unfold_groups(top: ConfigNode, environment: Environment) -> list[Problem]:
    """Turn `model_groups: [{model_group, models: [{model, params: {api_key, base_url}}]}]` into a model each, and a
    provider for each different `params`, whose type follows from their address and keys."""
    groups = top.members.pop("model_groups", None)
    if groups is None or groups.blank:
        return []
    if not isinstance(groups.value, list):
        return [wrong_kind(groups, "list")]
    if is_set(top, "models"):
        return [set_twice(groups, "is an older spelling of `models`, and both are set; keep `models`")]
    if not is_set(top, "providers"):
        top.members["providers"] = ConfigNode(value=[], mark=groups.mark, key=groups.key)
    reader = _Groups(top.members["providers"], environment)
    models: list[ConfigNode] = [reader.model(group) for group in groups.items]
    top.members["models"] = ConfigNode(value=models, mark=groups.mark, key=groups.key, key_mark=groups.key_mark)
    return reader.problems


_STRATEGY = "weighted"  # what model groups have always been
_BY_TYPE = frozenset({"api_version"})
_PARAMS = ("api_key", "base_url", *_BY_TYPE)
_USUAL_TYPE = "openai"


class _Groups:
    """Read model groups. Endpoints with the same `params` share a provider, which lists no model of its own."""

    def __init__(self, providers: ConfigNode, environment: Environment) -> None:
        self.problems: list[Problem] = []
        self._providers = providers
        self._environment = environment
        self._names = {name.word for each in providers.items if (name := each.members.get("name"))}
        self._providers_by_params: dict[str, str] = {}

    def model(self, group: ConfigNode) -> ConfigNode:
        """Return the entry of `models` for a group."""
        members = dict(group.members)
        name = self._member(group, members, "model_group")
        endpoints = self._member(group, members, "models")
        if isinstance(endpoints.value, list):
            targets: list[ConfigNode] = [self._target(each) for each in endpoints.items]
            endpoints = ConfigNode(value=targets, mark=endpoints.mark, key=endpoints.key, key_mark=endpoints.key_mark)
        members.setdefault("strategy", ConfigNode(value=_STRATEGY, mark=group.mark, key=group.key, literal=True))
        return ConfigNode(value={**members, "name": name, "targets": endpoints}, mark=group.mark, key=group.key)

    def _member(self, holder: ConfigNode, members: dict[str, ConfigNode], name: str) -> ConfigNode:
        if name in members:
            return members.pop(name)
        key = below(holder.key, name)
        self.problems.append(Problem(mark=holder.mark, key=key, message="is missing", code="missing-key"))
        return ConfigNode(value=None, mark=holder.mark, key=key, stand_in=True)

    def _target(self, endpoint: ConfigNode) -> ConfigNode:
        members = dict(endpoint.members)
        params = members.pop("params", ConfigNode(value={}, mark=endpoint.mark, key=below(endpoint.key, "params")))
        if not isinstance(params.value, dict) and not params.blank:
            self.problems.append(wrong_kind(params, "model"))
        members["provider"] = ConfigNode(value=self._provider(params), mark=params.mark, key=params.key, literal=True)
        return ConfigNode(value=members, mark=endpoint.mark, key=endpoint.key)

    def _provider(self, params: ConfigNode) -> str:
        params_key = repr(params.plain())
        if params_key not in self._providers_by_params:
            host = self._host(params)
            type_ = _type_of(host, params.members)
            self._providers_by_params[params_key] = name = self._name(host or type_)
            entry = {key: value for key, value in params.members.items() if key in _PARAMS}
            self.problems += [
                unknown_key(each, list(_PARAMS), {}) for key, each in params.members.items() if key not in entry
            ]
            entry |= {
                "name": ConfigNode(value=name, mark=params.mark, key=params.key, literal=True),
                "type": ConfigNode(value=type_, mark=params.mark, key=params.key, literal=True),
                "models": ConfigNode(value=[], mark=params.mark, key=params.key),
            }
            self._providers.items.append(ConfigNode(value=entry, mark=params.mark, key=params.key))
        return self._providers_by_params[params_key]

    def _host(self, params: ConfigNode) -> str:
        """Return the host of their URL, "" without one or where a variable is missing, which is reported later."""
        base = params.members.get("base_url")
        expanded = expand(base.word or "", self._environment) if base else None
        try:
            return (urlsplit(expanded.text).hostname or "") if expanded and not expanded.missing else ""
        except ValueError:
            return ""

    def _name(self, preferred: str) -> str:
        """Return a name for a provider, with a number when it is in use."""
        name = re.sub(r"[^A-Za-z0-9._-]", "-", preferred)
        number = 2
        unique = name
        while unique in self._names:
            unique, number = f"{name}-{number}", number + 1
        self._names.add(unique)
        return unique


def _type_of(host: str, params: Container[str]) -> str:
    """Return the type of provider whose services have that host, or that alone takes these keys."""
    for type_ in names("providers"):
        service = service_of(type_)
        if service is None:
            continue
        if (service.hosts and host.endswith(service.hosts)) or any(
            key in params for key in _BY_TYPE & {*service.variables}
        ):
            return type_
    return _USUAL_TYPE
