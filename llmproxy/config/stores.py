"""Reads `stores:`, and what a middleware says of its store: a name, a store in short, or a store's own keys.

A store that stands in the settings of a middleware becomes an entry of `stores` that nobody else can name. So there is
one list of stores after this. Begin reading at `unfold_stores`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from llmproxy.config.components import read_component
from llmproxy.config.document import ConfigNode
from llmproxy.config.problems import Problem
from llmproxy.config.validate import read_model, wrong_kind
from llmproxy.registry import RegistryError, config_of, find_component, names, nearest
from llmproxy.settings import Strict
from llmproxy.stores.base import DEFAULT, StoreConfig, StoreReference

# Short forms: how they begin, the type that they mean, and the key that gets the text behind the first group.
_SHORT = (
    (re.compile(r"()(?:rediss?(?:\+\w+)?|unix)://.*", re.DOTALL), "redis", "url"),
    (re.compile(r"(disk:).+", re.DOTALL), "disk", "path"),
)
_FORMS = "memory, disk, disk:PATH, the URL of a Redis such as redis://127.0.0.1:6379/0, or a block with a `type`"


def unfold_stores(top: ConfigNode, directory: Path) -> list[Problem]:
    """Make entries of `stores` of the stores that middlewares bring along, and check the names of the others."""
    section = top.members.get("stores")
    known = dict(section.members) if section is not None else {}
    problems = [
        each.problem(f"{name!r} is a type of store; choose another name", "name-taken")
        for name, each in known.items()
        if name in names("stores")
    ]
    added: dict[str, ConfigNode] = {}
    for entry in top.members["middlewares"].items if "middlewares" in top.members else []:
        settings = entry.members.get("config")
        if settings is not None and isinstance(settings.value, dict) and (model := _model(entry, directory)):
            problems += _unfold_entry(settings, model, [DEFAULT, *known], added)
    if added:
        if section is None or section.blank:
            section = top.members["stores"] = ConfigNode(value={}, mark=top.mark, key="stores")
        if isinstance(section.value, dict):
            section.value |= added
    return problems


def _model(entry: ConfigNode, directory: Path) -> type[Strict] | None:
    """The settings of a middleware that keeps something in a store; None for all others, mistakes too."""
    type_ = entry.members.get("type")
    try:
        model = config_of(find_component("middlewares", (type_.word if type_ else None) or "", directory))
    except RegistryError:
        return None
    return model if issubclass(model, StoreReference) else None


def _unfold_entry(
    settings: ConfigNode, model: type[Strict], known: list[str], added: dict[str, ConfigNode]
) -> Iterator[Problem]:
    members = settings.members
    more = [name for name in members if name not in model.model_fields]
    owners = _owners() if more else {}
    given = {name: members.pop(name) for name in more if name in owners}
    store = members.get("store")
    if store is not None and store.blank:
        store = None
    expanded = None if store is None else _expanded(store)
    if store is not None and expanded is not None:
        name = str(store.value) if expanded.keys() == {"type"} and not given else f"({settings.key})"
        added[name] = ConfigNode(value={**expanded, **given}, mark=store.mark, key=settings.key)
        members["store"] = ConfigNode(value=name, mark=store.mark, key=store.key, literal=True)
        type_ = expanded["type"].word if "type" in expanded else None
        yield from _misplaced(given, owners, f"and this one is of type {type_!r}", added[name], type_)
        return
    if store is not None and store.word is not None and store.word not in known and not store.stand_in:
        yield store.problem(_unknown(store.word, known), "unknown-store")
    elif given:
        yield from _misplaced(given, owners, "and the type is missing here: write `store: {type}` too", settings, None)


def _unknown(word: str, known: list[str]) -> str:
    """What to say of a name that no store has. What may be a URL is not repeated: it may hold a password."""
    if "/" in word or "@" in word:
        return f"is no store; write the name of one ({', '.join(known)}), or {_FORMS}"
    close = nearest(word, [*known, *names("stores")])
    hint = f"did you mean {close!r}?" if close else f"there are {', '.join(known)}; or write {_FORMS}"
    return f"there is no store {word!r}; {hint}"


def _misplaced(
    given: dict[str, ConfigNode], owners: dict[str, str], told: str, store: ConfigNode, type_: str | None
) -> Iterator[Problem]:
    """Keys of another type of store. They are taken out, so that nobody complains of them again."""
    for name, node in given.items():
        if owners[name] != type_ and (type_ is None or type_ in names("stores")):
            store.members.pop(name, None)
            message = f"belongs to a store of type {owners[name]!r}, {told.replace('{type}', owners[name])}"
            yield Problem(mark=node.key_mark or node.mark, key=node.key, message=message, code="unknown-key")


def _owners() -> dict[str, str]:
    """The keys of our stores, and the type that each belongs to."""
    return {
        key: type_
        for type_ in names("stores")
        for key in config_of(find_component("stores", type_, Path())).model_fields
        if key not in StoreConfig.model_fields
    }


def _expanded(node: ConfigNode) -> dict[str, ConfigNode] | None:
    """The keys of the store that `node` describes in short or in full; None when it can only be a name."""
    if isinstance(node.value, dict):
        return node.value
    word = node.word or ""
    if word in names("stores"):
        return {"type": _same(node, word)}
    for pattern, type_, key in _SHORT:
        if found := pattern.fullmatch(word):
            value = _same(node, word[len(found[1]) :])
            value.variables = node.variables
            return {"type": _same(node, type_), key: value}
    return None


def _same(node: ConfigNode, value: str) -> ConfigNode:
    """`value` at the place of `node`."""
    return ConfigNode(value=value, mark=node.mark, key=node.key, literal=True)


def read_stores(section: ConfigNode, directory: Path) -> tuple[dict[str, StoreConfig] | None, list[Problem]]:
    """The entries of `stores:`, by name."""
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
    return read_model(whole, config, directory)
