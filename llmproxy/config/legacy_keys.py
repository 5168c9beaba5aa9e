"""Move older keys and environment variables to the current keys: one table each.

Works on the tree before validation; values keep the place and the name under which the user wrote them. Begin reading
at `modernise`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from llmproxy.config.document import ConfigNode, below
from llmproxy.config.environment import Environment, Variable
from llmproxy.config.model_groups import is_set, set_twice, unfold_groups
from llmproxy.config.problems import Mark, Problem
from llmproxy.config.section_aliases import SETTINGS, unfold_sections
from llmproxy.config.validate import unknown_key

# Older keys of files, and their current paths.
KEYS: Mapping[str, str] = {
    "general_settings.bind_address": "server.host",
    "general_settings.bind_port": "server.port",
    "general_settings.num_retries": "routing.retries",
    "general_settings.allowed_fails": "routing.breaker.failures",
    "general_settings.cooldown_time": "routing.breaker.recovery",
    "interceptors": "middlewares",
}

# Environment variables, which win over the file.
VARIABLES: Mapping[str, str] = {
    "LLM_BASE_URL": "llm.base_url",
    "LLM_TYPE": "llm.type",
    "LLM_API_KEY": "llm.api_key",
    "LLM_PROVIDER": "default_provider",
    "CORS_ALLOW_ORIGINS": "server.cors.allow_origins",
    "ENABLE_TELEMETRY": "telemetry.enabled",
    "LOG_LEVEL": "logging.level",
    "LOG_REQUESTS": "logging.requests",
    "MAX_REQUEST_BYTES": "server.max_body_size",
    "PROMETHEUS_PORT": "telemetry.prometheus_port",
    "PROXY_API_DEBUG": "logging.level",
    "PROXY_API_HOST": "server.host",
    "PROXY_API_PORT": "server.port",
}
MODEL_MAP = "MODEL_PROVIDER_MAP"
COLLECTOR = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""Other programs use it too, so that it alone switches nothing on: ENABLE_TELEMETRY must say so."""

_LISTS = frozenset({"CORS_ALLOW_ORIGINS"})  # with commas

# The provider type that these variables configure.
COMPATIBLE_TYPE = "ollama"
COMPATIBLE_VARIABLES: Mapping[str, str] = {"base_url": "OPENAI_COMPAT_BASE_URL", "api_key": "OPENAI_COMPAT_API_KEY"}


def modernise(top: ConfigNode, environment: Environment) -> list[Problem]:
    """Move older keys of a file to their current paths. Report an older key beside its current one."""
    problems: list[Problem] = []
    for old, new in KEYS.items():
        problems += _move(top, old, new)
    problems += unfold_sections(top)
    problems += _leftover_settings(top)
    problems += unfold_groups(top, environment)
    llm = top.members.get("llm")
    for entry in [*(top.members["providers"].items if "providers" in top.members else ()), *([llm] if llm else ())]:
        problems += _key_variable(entry)
    return problems


def _leftover_settings(top: ConfigNode) -> list[Problem]:
    settings = top.members.get("general_settings")
    if settings is None or not (isinstance(settings.value, dict) or settings.blank):
        return []
    del top.members["general_settings"]
    allowed = [*(old.partition(".")[2] for old in KEYS if old.startswith("general_settings.")), *SETTINGS]
    return [unknown_key(each, allowed, {}) for each in settings.members.values()]


def _move(top: ConfigNode, old: str, new: str) -> list[Problem]:
    section, _, name = old.rpartition(".")
    holder = top.members.get(section) if section else top
    if holder is None or name not in holder.members:
        return []
    moved = holder.members.pop(name)
    return (
        []
        if put(top, new, moved)
        else [set_twice(moved, f"is an older spelling of `{new}`, and both are set; keep `{new}`")]
    )


def put(top: ConfigNode, path: str, value: ConfigNode, *, replace: bool = False) -> bool:
    """Put `value` at a dotted path, and add the section if it is missing.

    Return False when the key has a value already, or the section is not a block of keys.
    """
    *sections, name = path.split(".")
    holder = top
    for section in sections:
        current = holder.members.get(section)
        if current is None or current.value is None:
            if not isinstance(holder.value, dict):
                return False
            current = ConfigNode(value={}, mark=value.mark, key=below(holder.key, section))
            holder.value[section] = current
        holder = current
    if not isinstance(holder.value, dict) or (is_set(holder, name) and not replace):
        return False
    holder.value[name] = value
    return True


def _key_variable(entry: ConfigNode) -> list[Problem]:
    """Turn `api_key_env: NAME` into `api_key: ${NAME}`."""
    node = entry.members.get("api_key_env")
    if node is None or node.blank:
        return []
    if is_set(entry, "api_key"):
        del entry.members["api_key_env"]
        return [set_twice(node, "is set together with `api_key`; keep one of them")]
    variable = node.word or ""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
        return []  # reported by the config of the provider
    del entry.members["api_key_env"]
    key = ConfigNode(value=f"${{{variable}}}", mark=node.mark, key=node.key, key_mark=node.key_mark)
    entry.members["api_key"] = key
    return []


def overlay_environment(top: ConfigNode, environment: Environment) -> list[Problem]:
    """Put the values of older variables over those of the file."""
    problems: list[Problem] = []
    for name, path in VARIABLES.items():
        variable = environment.filled(name)
        if variable is None:
            continue
        try:
            value = _CONVERSIONS.get(name, str)(variable.value.strip())
        except ValueError as error:
            problems.append(Problem(mark=Mark(source=variable.place), message=str(error)))
            continue
        if value is not None and not (name == "PROXY_API_DEBUG" and environment.filled("LOG_LEVEL")):
            node = _list(value, variable) if name in _LISTS else _literal(value, variable)
            put(top, path, node, replace=True)
    collector = environment.filled(COLLECTOR)
    if collector is not None and environment.filled("ENABLE_TELEMETRY"):  # "false" switches it off all the same
        put(top, "telemetry.otlp", _literal("true", collector))
    if model_map := environment.filled(MODEL_MAP):
        problems += _overlay_models(top, model_map)
    return problems


def _literal(value: str, variable: Variable) -> ConfigNode:
    return ConfigNode(value=value, mark=Mark(source=variable.place), literal=True, variables=(variable.place,))


def _list(value: str, variable: Variable) -> ConfigNode:
    """Return the words between commas as a list."""
    words = [_literal(word, variable) for each in value.split(",") if (word := each.strip())]
    return ConfigNode(value=list[ConfigNode](words), mark=Mark(source=variable.place), variables=(variable.place,))


def _no_limit(value: str) -> str:
    if not value.isdecimal():
        raise ValueError(f"must be a number of bytes, 0 for no limit, not {value[:60]!r}")
    return value if int(value) else "none"


def _debug(value: str) -> str | None:
    if value.lower() not in ("1", "true", "yes", "on", "0", "false", "no", "off"):
        raise ValueError(f"must be true or false, not {value[:60]!r}")
    return "debug" if value.lower() in ("1", "true", "yes", "on") else None


_CONVERSIONS: Mapping[str, Callable[[str], str | None]] = {"MAX_REQUEST_BYTES": _no_limit, "PROXY_API_DEBUG": _debug}


def parse_model_map(text: str) -> dict[str, str]:
    """Parse `gpt-4=ollama,local-*=stub` into providers by model. Raises ValueError."""
    pairs: dict[str, str] = {}
    for each in filter(None, (part.strip() for part in text.split(","))):
        model, equals, provider = (part.strip() for part in each.rpartition("="))
        if not (model and equals and provider):
            raise ValueError(f"invalid entry: {each!r}; write model=provider, as in gpt-4=openai,local-*=ollama")
        pairs[model] = provider
    return pairs


def _overlay_models(top: ConfigNode, variable: Variable) -> list[Problem]:
    mark = Mark(source=variable.place)
    try:
        pairs = parse_model_map(variable.value)
    except ValueError as error:
        return [Problem(mark=mark, message=str(error))]
    models = top.members.get("models")
    if models is None or not isinstance(models.value, list):
        if models is not None and not models.blank:
            return []  # reported when the section is read
        models = top.members["models"] = ConfigNode(value=[], mark=mark)
    kept = [each for each in models.items if not ((name := each.members.get("name")) and name.word in pairs)]
    models.value = [*kept, *(_model_entry(model, provider, variable) for model, provider in pairs.items())]
    return []


def _model_entry(model: str, provider: str, variable: Variable) -> ConfigNode:
    mark = Mark(source=variable.place)
    targets = ConfigNode(value=[ConfigNode(value={"provider": _literal(provider, variable)}, mark=mark)], mark=mark)
    return ConfigNode(value={"name": _literal(model, variable), "targets": targets}, mark=mark)
