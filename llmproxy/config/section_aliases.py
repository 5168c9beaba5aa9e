"""Turn the sections `session:` and `cache:`, and the cache settings of `general_settings`, into entries of
`middlewares`.

Works on the tree before validation; values keep the place and the name under which the user wrote them.
"""

from __future__ import annotations

from collections.abc import Mapping

from llmproxy.config.document import ConfigNode
from llmproxy.config.problems import Problem
from llmproxy.config.validate import unknown_key, wrong_kind

SECTION_ALIASES: Mapping[str, str] = {"session": "sessions", "cache": "cache"}

# Keys of `general_settings` for the cache, and the settings of the middleware for `cache_params`.
SETTINGS = ("cache", "cache_params", "redis_host", "redis_port", "redis_password")
_PARAMS = {
    "type": "store",
    "ttl": "ttl",
    "namespace": "namespace",
    "url": "url",
    "password": "password",
    "path": "path",
    "max_size": "max_size",
}
_ADDRESS = ("host", "port")
_STORES = {"redis": "redis", "disk": "disk", "local": "memory", "memory": "memory", "in-memory": "memory"}


def unfold_sections(top: ConfigNode) -> list[Problem]:
    """Append an entry to `middlewares` for each section. Report a section beside an entry of the same type."""
    problems = _unfold_settings(top)
    for name, type_ in SECTION_ALIASES.items():
        section = top.members.pop(name, None)
        if section is None or (section.blank and name == "cache"):
            continue
        if not (isinstance(section.value, dict) or section.blank):
            problems.append(wrong_kind(section, "model"))
        elif _has(top, type_):
            message = f"is another spelling of the middleware {type_!r}, and both are set; keep one of them"
            problems.append(
                Problem(mark=section.key_mark or section.mark, key=section.key, message=message, code="set-twice")
            )
        else:
            _add(top, type_, section, dict(section.members))
    return problems


def _has(top: ConfigNode, type_: str) -> bool:
    middlewares = top.members.get("middlewares")
    return middlewares is not None and any(
        (node := entry.members.get("type")) and node.word == type_ for entry in middlewares.items
    )


def _add(top: ConfigNode, type_: str, section: ConfigNode, config: dict[str, ConfigNode]) -> None:
    middlewares = top.members.get("middlewares")
    if middlewares is None or middlewares.blank:
        middlewares = top.members["middlewares"] = ConfigNode(value=[], mark=section.mark, key="middlewares")
    if not isinstance(middlewares.value, list):
        return  # reported when the section is read
    entry = {"type": ConfigNode(value=type_, mark=section.mark, key=section.key, literal=True)}
    if "enabled" in config:
        entry["enabled"] = config.pop("enabled")
    entry["config"] = ConfigNode(value=config, mark=section.mark, key=section.key, key_mark=section.key_mark)
    middlewares.value.append(ConfigNode(value=entry, mark=section.mark, key=section.key, key_mark=section.key_mark))


def _unfold_settings(top: ConfigNode) -> list[Problem]:
    """Turn `general_settings.cache`, `cache_params` and `redis_*` into the section `cache`, unless there is one."""
    settings = top.members.get("general_settings")
    members = settings.members if settings is not None else {}
    nodes = {name: members.pop(name) for name in SETTINGS if name in members}
    settings_set = {name: node for name, node in nodes.items() if not node.blank}
    if not settings_set:
        return []
    first = next(iter(settings_set.values()))
    if "cache" in top.members or _has(top, "cache"):
        message = "is an older spelling of the middleware 'cache', and both are set; keep one of them"
        return [Problem(mark=first.key_mark or first.mark, key=first.key, message=message, code="set-twice")]
    params = settings_set.get("cache_params")
    if params is not None and not isinstance(params.value, dict):
        return [wrong_kind(params, "model")]
    problems = [
        unknown_key(each, [*_PARAMS, *_ADDRESS], {})
        for name, each in (params.members.items() if params else ())
        if name not in _PARAMS and name not in _ADDRESS
    ]
    config = {_PARAMS[name]: each for name, each in (params.members.items() if params else ()) if name in _PARAMS}
    if "store" in config:
        config["store"] = _store(config["store"])
    _add_address(config, settings_set, dict(params.members) if params else {})
    if "cache" in settings_set:
        config["enabled"] = settings_set["cache"]
    top.members["cache"] = ConfigNode(value=config, mark=first.mark, key=first.key, key_mark=first.key_mark)
    return problems


def _store(node: ConfigNode) -> ConfigNode:
    word = _STORES.get((node.word or "").lower())
    return node if word is None else _same(node, word)


def _add_address(
    config: dict[str, ConfigNode], settings_set: Mapping[str, ConfigNode], params: Mapping[str, ConfigNode]
) -> None:
    """Add the address of Redis, unless another store is set."""
    host = params.get("host") or settings_set.get("redis_host")
    port = params.get("port") or settings_set.get("redis_port")
    password = settings_set.get("redis_password")
    where = host or port or password
    if where is None or ("store" in config and config["store"].word != "redis"):
        return
    config.setdefault("store", _same(where, "redis"))
    if "url" not in config:
        name = (host.word if host else None) or "127.0.0.1"
        name = f"[{name}]" if ":" in name else name
        config["url"] = _same(host or where, f"redis://{name}:{(port.word if port else None) or '6379'}/0")
    if password is not None:
        config.setdefault("password", password)


def _same(node: ConfigNode, value: str) -> ConfigNode:
    """Return `value` at the place of `node`."""
    return ConfigNode(
        value=value, mark=node.mark, key=node.key, key_mark=node.key_mark, text=None, variables=node.variables
    )
