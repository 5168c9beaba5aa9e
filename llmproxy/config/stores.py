"""Read `stores:`, and the store in the settings of a middleware, `quotas` or `routing`: a name, a short form, or keys.

A store in such settings becomes an entry of `stores` under a name that no other setting can use, so that
there is one list of stores. Begin reading at `unfold_stores`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from llmproxy.config.components import read_component
from llmproxy.config.document import ConfigNode
from llmproxy.config.problems import Problem
from llmproxy.config.routing_schema import RoutingConfig
from llmproxy.config.validate import read_model, wrong_kind
from llmproxy.middleware.limits import QuotasConfig
from llmproxy.registry import RegistryError, config_of, find_component, names, nearest
from llmproxy.settings import Strict
from llmproxy.stores.base import DEFAULT_STORE, StoreConfig, StoreReference

# Short forms: pattern, type, and the key that gets the text after the first group.
_SHORT = (
    (re.compile(r"()(?:rediss?(?:\+\w+)?|unix)://.*", re.DOTALL), "redis", "url"),
    (re.compile(r"(disk:).+", re.DOTALL), "disk", "path"),
)
_DEFAULT_TYPE = "memory"  # of keys without a store that this type has
_FORMS = "memory, disk, disk:PATH, the URL of a Redis such as redis://127.0.0.1:6379/0, or a block with a `type`"


def unfold_stores(top: ConfigNode, directory: Path) -> list[Problem]:
    """Turn stores in the settings of their users into entries of `stores`, and check the names of the others."""
    section = top.members.get("stores")
    entries = dict(section.members) if section is not None else {}
    problems = [
        each.problem(f"the name {name!r} is a type of store; choose another name", "name-taken")
        for name, each in entries.items()
        if name in names("stores")
    ]
    added: dict[str, ConfigNode] = {}
    for settings, model in _users(top, directory):
        problems += _unfold_entry(settings, model, [DEFAULT_STORE, *entries], added)
    if added:
        if section is None or section.blank:
            section = top.members["stores"] = ConfigNode(value={}, mark=top.mark, key="stores")
        if isinstance(section.value, dict):
            section.value |= added
    return problems


def _users(top: ConfigNode, directory: Path) -> Iterator[tuple[ConfigNode, type[Strict]]]:
    """Yield the settings that name a store, with their classes: those of middlewares, `quotas` and `routing`."""
    for entry in top.members["middlewares"].items if "middlewares" in top.members else []:
        settings = entry.members.get("config")
        if settings is not None and isinstance(settings.value, dict) and (model := _model(entry, directory)):
            yield settings, model
    if (quotas := top.members.get("quotas")) is not None and isinstance(quotas.value, dict):
        yield quotas, QuotasConfig
    if (routing := top.members.get("routing")) is not None and isinstance(routing.value, dict):
        yield routing, RoutingConfig


def _model(entry: ConfigNode, directory: Path) -> type[Strict] | None:
    """Return the settings class of a middleware with a store; None for others and for unknown ones."""
    type_ = entry.members.get("type")
    try:
        model = config_of(find_component("middlewares", (type_.word if type_ else None) or "", directory))
    except RegistryError:
        return None
    return model if issubclass(model, StoreReference) else None


def _unfold_entry(
    settings: ConfigNode, model: type[Strict], names_of_stores: list[str], added: dict[str, ConfigNode]
) -> Iterator[Problem]:
    members = settings.members
    more = [name for name in members if name not in model.model_fields]
    owners = _owners() if more else {}
    inline = {name: members.pop(name) for name in more if name in owners}
    store = members.get("store")
    if store is not None and store.blank:
        store = None
    if store is None and inline and all(_DEFAULT_TYPE in owners[name] for name in inline):
        first = next(iter(inline.values()))
        store = ConfigNode(value=_DEFAULT_TYPE, mark=first.mark, key=settings.key, literal=True)
    expanded = None if store is None else _expanded(store)
    if store is not None and expanded is not None:
        name = str(store.value) if expanded.keys() == {"type"} and not inline else f"({settings.key})"
        added[name] = ConfigNode(value={**expanded, **inline}, mark=store.mark, key=settings.key)
        members["store"] = ConfigNode(value=name, mark=store.mark, key=store.key, literal=True)
        type_ = expanded["type"].word if "type" in expanded else None
        yield from _misplaced(inline, owners, f"and this one is of type {type_!r}", added[name], type_)
        return
    if store is not None and store.word is not None and store.word not in names_of_stores and not store.stand_in:
        yield store.problem(_unknown(store.word, names_of_stores), "unknown-store")
    elif inline:
        yield from _misplaced(inline, owners, "and the type is missing here: write `store: {type}` too", settings, None)


def _unknown(word: str, names_of_stores: list[str]) -> str:
    """Return the message for an unknown name. Text that may be a URL is not repeated: it may contain a password."""
    if "/" in word or "@" in word:
        return f"is not a store; write a name ({', '.join(names_of_stores)}), or {_FORMS}"
    close = nearest(word, [*names_of_stores, *names("stores")])
    hint = f"did you mean {close!r}?" if close else f"available: {', '.join(names_of_stores)}; or write {_FORMS}"
    return f"unknown store: {word!r}; {hint}"


def _misplaced(
    inline: dict[str, ConfigNode], owners: dict[str, list[str]], reason: str, store: ConfigNode, type_: str | None
) -> Iterator[Problem]:
    """Report keys of another type of store. They are removed, so that they are reported once."""
    for name, node in inline.items():
        if type_ not in owners[name] and (type_ is None or type_ in names("stores")):
            store.members.pop(name, None)
            types = " or ".join(map(repr, owners[name]))
            message = f"is a key of stores of type {types}, {reason.replace('{type}', owners[name][-1])}"
            yield Problem(mark=node.key_mark or node.mark, key=node.key, message=message, code="unknown-key")


def _owners() -> dict[str, list[str]]:
    """Map the keys of built-in stores to the types that have them."""
    owners: dict[str, list[str]] = {}
    for type_ in names("stores"):
        for key in config_of(find_component("stores", type_, Path())).model_fields:
            if key not in StoreConfig.model_fields:
                owners.setdefault(key, []).append(type_)
    return owners


def _expanded(node: ConfigNode) -> dict[str, ConfigNode] | None:
    """Return the keys of the store in `node`, in short or full form; None when it is a name."""
    if isinstance(node.value, dict):
        return node.value
    word = node.word or ""
    if word in names("stores"):
        return {"type": _same(node, word)}
    for pattern, type_, key in _SHORT:
        if match := pattern.fullmatch(word):
            value = _same(node, word[len(match[1]) :])
            value.variables = node.variables
            return {"type": _same(node, type_), key: value}
    return None


def _same(node: ConfigNode, value: str) -> ConfigNode:
    """Return `value` at the place of `node`."""
    return ConfigNode(value=value, mark=node.mark, key=node.key, literal=True)


def read_stores(section: ConfigNode, directory: Path) -> tuple[dict[str, StoreConfig] | None, list[Problem]]:
    """Read the entries of `stores:`, by name."""
    if not isinstance(section.value, dict):
        return None, [wrong_kind(section, "model")]
    stores: dict[str, StoreConfig] = {}
    problems: list[Problem] = []
    for name, entry in section.members.items():
        if not entry.blank:
            store, more = _store(entry, directory)
            problems += more
            stores |= {name: store} if store is not None else {}
    return stores, problems


def _store(entry: ConfigNode, directory: Path) -> tuple[StoreConfig | None, list[Problem]]:
    keys = _expanded(entry)
    if keys is None:
        return None, [] if entry.stand_in else [entry.problem(f"must be {_FORMS}", "invalid-value")]
    whole = entry if isinstance(entry.value, dict) else ConfigNode(value=dict(keys), mark=entry.mark, key=entry.key)
    component, problems = read_component("stores", whole, directory)
    if component is None:
        return None, problems
    config = config_of(component)
    assert issubclass(config, StoreConfig)
    settings, more = read_model(whole, config, directory)
    return settings, [*problems, *more]
