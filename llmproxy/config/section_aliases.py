"""Sections at the top of a file that are another spelling of one entry of `middlewares`: `session:`, `cache:`, and what
`general_settings` says of a cache and its Redis.

Works on the tree, before anything is validated; values keep the place and the name under which the user wrote them.
"""

from __future__ import annotations

from collections.abc import Mapping

from llmproxy.config.document import Node
from llmproxy.config.problems import Problem
from llmproxy.config.validate import misfit, unknown_key

SECTIONS: Mapping[str, str] = {"session": "sessions", "cache": "cache"}

# What `general_settings` may say of the cache, and where that stands in the settings of the middleware.
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


def unfold(top: Node) -> list[Problem]:
    """Make entries of `middlewares` of the sections, behind those that are there. Both spellings are a mistake."""
    problems = _unfold_settings(top)
    for name, type_ in SECTIONS.items():
        section = top.members.pop(name, None)
        if section is None or (section.blank and name == "cache"):
            continue
        if not (isinstance(section.value, dict) or section.blank):
            problems.append(misfit(section, "model"))
        elif _has(top, type_):
            told = f"is another spelling of the middleware {type_!r}, and both are set; keep one of them"
            problems.append(
                Problem(mark=section.key_mark or section.mark, key=section.key, message=told, code="given-twice")
            )
        else:
            _add(top, type_, section, dict(section.members))
    return problems


def _has(top: Node, type_: str) -> bool:
    middlewares = top.members.get("middlewares")
    return middlewares is not None and any(
        (found := entry.members.get("type")) and found.word == type_ for entry in middlewares.items
    )


def _add(top: Node, type_: str, section: Node, config: dict[str, Node]) -> None:
    middlewares = top.members.get("middlewares")
    if middlewares is None or middlewares.blank:
        middlewares = top.members["middlewares"] = Node(value=[], mark=section.mark, key="middlewares")
    if not isinstance(middlewares.value, list):
        return  # a mistake that is told anyway
    entry = {"type": Node(value=type_, mark=section.mark, key=section.key, literal=True)}
    if "enabled" in config:
        entry["enabled"] = config.pop("enabled")
    entry["config"] = Node(value=config, mark=section.mark, key=section.key, key_mark=section.key_mark)
    middlewares.value.append(Node(value=entry, mark=section.mark, key=section.key, key_mark=section.key_mark))


def _unfold_settings(top: Node) -> list[Problem]:
    """`general_settings.cache`, `cache_params`, `redis_*` as the section `cache`, unless there is one."""
    settings = top.members.get("general_settings")
    members = settings.members if settings is not None else {}
    given = {name: members.pop(name) for name in SETTINGS if name in members}
    said = {name: node for name, node in given.items() if not node.blank}
    if not said:
        return []
    first = next(iter(said.values()))
    if "cache" in top.members or _has(top, "cache"):
        told = "is an older spelling of the middleware 'cache', and both are set; keep one of them"
        return [Problem(mark=first.key_mark or first.mark, key=first.key, message=told, code="given-twice")]
    params = said.get("cache_params")
    if params is not None and not isinstance(params.value, dict):
        return [misfit(params, "model")]
    problems = [
        unknown_key(each, [*_PARAMS, *_ADDRESS], {})
        for name, each in (params.members.items() if params else ())
        if name not in _PARAMS and name not in _ADDRESS
    ]
    config = {_PARAMS[name]: each for name, each in (params.members.items() if params else ()) if name in _PARAMS}
    if "store" in config:
        config["store"] = _stored(config["store"])
    _add_address(config, said, dict(params.members) if params else {})
    if "cache" in said:
        config["enabled"] = said["cache"]
    top.members["cache"] = Node(value=config, mark=first.mark, key=first.key, key_mark=first.key_mark)
    return problems


def _stored(node: Node) -> Node:
    word = _STORES.get((node.word or "").lower())
    return node if word is None else _same(node, word)


def _add_address(config: dict[str, Node], said: Mapping[str, Node], params: Mapping[str, Node]) -> None:
    """The Redis of the settings, unless another store is meant."""
    host = params.get("host") or said.get("redis_host")
    port = params.get("port") or said.get("redis_port")
    password = said.get("redis_password")
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


def _same(node: Node, value: str) -> Node:
    """`value` at the place of `node`."""
    return Node(value=value, mark=node.mark, key=node.key, key_mark=node.key_mark, text=None, variables=node.variables)
