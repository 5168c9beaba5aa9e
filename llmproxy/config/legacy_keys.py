"""Older keys and environment variables that still work: one table each, and what turns them into the keys of today.

Works on the tree, before anything is validated; values keep the place and the name under which the user wrote them.
Begin reading at `modernise`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from llmproxy.config.document import Node, below
from llmproxy.config.environment import Environment, Variable
from llmproxy.config.problems import Mark, Problem
from llmproxy.config.section_aliases import SETTINGS, unfold
from llmproxy.config.validate import misfit, unknown_key

# Keys of files, and where they stand today.
KEYS: Mapping[str, str] = {
    "general_settings.bind_address": "server.host",
    "general_settings.bind_port": "server.port",
    "interceptors": "middlewares",
}

# What the environment says wins over the file.
VARIABLES: Mapping[str, str] = {
    "LLM_BASE_URL": "llm.base_url",
    "LLM_TYPE": "llm.type",
    "LLM_API_KEY": "llm.api_key",
    "LLM_PROVIDER": "default_provider",
    "LOG_LEVEL": "logging.level",
    "MAX_REQUEST_BYTES": "server.max_body_size",
    "PROXY_API_DEBUG": "logging.level",
    "PROXY_API_HOST": "server.host",
    "PROXY_API_PORT": "server.port",
}
MODEL_MAP = "MODEL_PROVIDER_MAP"

# What the provider type of that name takes from variables that bear no vendor's name.
COMPATIBLE = "ollama"
COMPATIBLE_VARIABLES: Mapping[str, str] = {"base_url": "OPENAI_COMPAT_BASE_URL", "api_key": "OPENAI_COMPAT_API_KEY"}


def modernise(top: Node) -> list[Problem]:
    """Move older keys of a file to where they stand today. Both spellings of one thing are a mistake."""
    problems: list[Problem] = []
    for old, new in KEYS.items():
        problems += _move(top, old, new)
    problems += unfold(top)
    problems += _leftover_settings(top)
    problems += _model_groups(top)
    llm = top.members.get("llm")
    for entry in [*(top.members["providers"].items if "providers" in top.members else ()), *([llm] if llm else ())]:
        problems += _key_variable(entry)
    return problems


def _leftover_settings(top: Node) -> list[Problem]:
    settings = top.members.get("general_settings")
    if settings is None or not (isinstance(settings.value, dict) or settings.blank):
        return []
    del top.members["general_settings"]
    known = [*(old.partition(".")[2] for old in KEYS if old.startswith("general_settings.")), *SETTINGS]
    return [unknown_key(each, known, {}) for each in settings.members.values()]


def _move(top: Node, old: str, new: str) -> list[Problem]:
    section, _, name = old.rpartition(".")
    holder = top.members.get(section) if section else top
    if holder is None or name not in holder.members:
        return []
    moved = holder.members.pop(name)
    return (
        []
        if put(top, new, moved)
        else [_given_twice(moved, f"is an older spelling of {new!r}, and both are set; keep {new!r}")]
    )


def _given_twice(node: Node, message: str) -> Problem:
    return Problem(mark=node.key_mark or node.mark, key=node.key, message=message, code="given-twice")


def _given(holder: Node, name: str) -> bool:
    """Whether something is written behind a key."""
    return name in holder.members and not holder.members[name].blank


def put(top: Node, path: str, value: Node, *, replace: bool = False) -> bool:
    """Put `value` at a dotted path, making the section when it is missing.

    False when something stands there already, or the section is none.
    """
    section, _, name = path.rpartition(".")
    holder = top
    if section:
        known = top.members.get(section)
        if known is None or known.value is None:
            known = Node(value={}, mark=value.mark, key=section)
            top.members[section] = known
        holder = known
    if not isinstance(holder.value, dict) or (_given(holder, name) and not replace):
        return False
    holder.value[name] = value
    return True


def _key_variable(entry: Node) -> list[Problem]:
    """`api_key_env: NAME` is `api_key: ${NAME}`."""
    named = entry.members.get("api_key_env")
    if named is None or named.blank:
        return []
    if _given(entry, "api_key"):
        del entry.members["api_key_env"]
        return [_given_twice(named, "is set together with `api_key`; keep one of them")]
    variable = named.word or ""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
        return []  # the provider's own config says what is wrong with it
    del entry.members["api_key_env"]
    key = Node(value=f"${{{variable}}}", mark=named.mark, key=named.key, key_mark=named.key_mark)
    entry.members["api_key"] = key
    return []


def _model_groups(top: Node) -> list[Problem]:
    """`model_groups: [{model_group, models: [{model, params: {api_key, base_url}}]}]` becomes a model each, and a
    provider for each different `params`."""
    groups = top.members.pop("model_groups", None)
    if groups is None or groups.blank:
        return []
    if not isinstance(groups.value, list):
        return [misfit(groups, "list")]
    if _given(top, "models"):
        return [_given_twice(groups, "is an older spelling of 'models', and both are set; keep 'models'")]
    if not _given(top, "providers"):
        top.members["providers"] = Node(value=[], mark=groups.mark, key=groups.key)
    reader = _Groups(top.members["providers"])
    models: list[Node] = [reader.model(group) for group in groups.items]
    top.members["models"] = Node(value=models, mark=groups.mark, key=groups.key, key_mark=groups.key_mark)
    return reader.problems


_PARAMS = ("api_key", "base_url")


class _Groups:
    """Reads model groups; endpoints with the same `params` share a provider, which answers under no name of its own."""

    def __init__(self, providers: Node) -> None:
        self.problems: list[Problem] = []
        self._providers = providers
        self._names = {name.word for each in providers.items if (name := each.members.get("name"))}
        self._made: dict[str, str] = {}

    def model(self, group: Node) -> Node:
        """The entry of `models` for a group."""
        members = dict(group.members)
        name = self._member(group, members, "model_group")
        endpoints = self._member(group, members, "models")
        if isinstance(endpoints.value, list):
            made: list[Node] = [self._target(each) for each in endpoints.items]
            endpoints = Node(value=made, mark=endpoints.mark, key=endpoints.key, key_mark=endpoints.key_mark)
        return Node(value={**members, "name": name, "targets": endpoints}, mark=group.mark, key=group.key)

    def _member(self, holder: Node, members: dict[str, Node], name: str) -> Node:
        if name in members:
            return members.pop(name)
        key = below(holder.key, name)
        self.problems.append(Problem(mark=holder.mark, key=key, message="is missing", code="missing-key"))
        return Node(value=None, mark=holder.mark, key=key, stand_in=True)

    def _target(self, endpoint: Node) -> Node:
        members = dict(endpoint.members)
        params = members.pop("params", Node(value={}, mark=endpoint.mark, key=below(endpoint.key, "params")))
        if not isinstance(params.value, dict) and not params.blank:
            self.problems.append(misfit(params, "model"))
        members["provider"] = Node(value=self._provider(params), mark=params.mark, key=params.key, literal=True)
        return Node(value=members, mark=endpoint.mark, key=endpoint.key)

    def _provider(self, params: Node) -> str:
        same = repr(params.plain())
        if same not in self._made:
            self._made[same] = name = self._name(params)
            made = {key: value for key, value in params.members.items() if key in _PARAMS}
            self.problems += [
                unknown_key(each, list(_PARAMS), {}) for key, each in params.members.items() if key not in made
            ]
            made |= {
                "name": Node(value=name, mark=params.mark, key=params.key, literal=True),
                "type": Node(value="openai", mark=params.mark, key=params.key, literal=True),
                "models": Node(value=[], mark=params.mark, key=params.key),
            }
            self._providers.items.append(Node(value=made, mark=params.mark, key=params.key))
        return self._made[same]

    def _name(self, params: Node) -> str:
        """The host of its URL, or `openai`; with a number when that is taken."""
        base = params.members.get("base_url")
        host = urlsplit(base.word or "").hostname if base else None
        name = re.sub(r"[^A-Za-z0-9._-]", "-", host or "openai")
        number = 2
        unique = name
        while unique in self._names:
            unique, number = f"{name}-{number}", number + 1
        self._names.add(unique)
        return unique


def overlay_environment(top: Node, environment: Environment) -> list[Problem]:
    """Put what older variables say over what the file says."""
    problems: list[Problem] = []
    for name, path in VARIABLES.items():
        found = environment.filled(name)
        if found is None:
            continue
        try:
            value = _CONVERSIONS.get(name, str)(found.value.strip())
        except ValueError as error:
            problems.append(Problem(mark=Mark(source=found.place), message=str(error)))
            continue
        if value is not None and not (name == "PROXY_API_DEBUG" and environment.filled("LOG_LEVEL")):
            put(top, path, _literal(value, found), replace=True)
    if mapped := environment.filled(MODEL_MAP):
        problems += _overlay_models(top, mapped)
    return problems


def _literal(value: str, found: Variable) -> Node:
    return Node(value=value, mark=Mark(source=found.place), literal=True, variables=(found.place,))


def _no_limit(value: str) -> str:
    if not value.isdecimal():
        raise ValueError(f"must be a number of bytes, 0 for no limit, not {value[:60]!r}")
    return value if int(value) else "none"


def _debug(value: str) -> str | None:
    if value.lower() not in ("1", "true", "yes", "on", "0", "false", "no", "off"):
        raise ValueError(f"must be true or false, not {value[:60]!r}")
    return "debug" if value.lower() in ("1", "true", "yes", "on") else None


_CONVERSIONS: Mapping[str, Callable[[str], str | None]] = {"MAX_REQUEST_BYTES": _no_limit, "PROXY_API_DEBUG": _debug}


def model_map(text: str) -> dict[str, str]:
    """`gpt-4=ollama,local-*=stub` -> provider by model. Raises ValueError."""
    pairs: dict[str, str] = {}
    for each in filter(None, (part.strip() for part in text.split(","))):
        model, equals, provider = (part.strip() for part in each.rpartition("="))
        if not (model and equals and provider):
            raise ValueError(f"{each!r} is not model=provider, as in gpt-4=openai,local-*=ollama")
        pairs[model] = provider
    return pairs


def _overlay_models(top: Node, found: Variable) -> list[Problem]:
    mark = Mark(source=found.place)
    try:
        pairs = model_map(found.value)
    except ValueError as error:
        return [Problem(mark=mark, message=str(error))]
    models = top.members.get("models")
    if models is None or not isinstance(models.value, list):
        if models is not None and not models.blank:
            return []  # a mistake that is told anyway
        models = top.members["models"] = Node(value=[], mark=mark)
    kept = [each for each in models.items if not ((name := each.members.get("name")) and name.word in pairs)]
    models.value = [*kept, *(_mapped(model, provider, found) for model, provider in pairs.items())]
    return []


def _mapped(model: str, provider: str, found: Variable) -> Node:
    target = Node(value={"provider": _literal(provider, found)}, mark=Mark(source=found.place))
    targets = Node(value=[target], mark=Mark(source=found.place))
    return Node(value={"name": _literal(model, found), "targets": targets}, mark=Mark(source=found.place))
