"""Read entries with a type (providers, middlewares, `llm:`) into the `Config` of the class that the type names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from llmproxy.config.cross_checks import LLM
from llmproxy.config.document import ConfigNode, below
from llmproxy.config.override_checks import check_overrides
from llmproxy.config.problems import Problem
from llmproxy.config.provider_types import type_meant_by
from llmproxy.config.schema import MiddlewareEntry
from llmproxy.config.validate import read_model, wrong_kind
from llmproxy.dialects import catalog
from llmproxy.providers.base import ProviderConfig
from llmproxy.registry import RegistryError, config_of, find_component, names
from llmproxy.settings import Strict

# Keys of a provider that `llm:` does not have: it has no name in paths and takes every other request.
KEYS_NOT_IN_LLM = frozenset({"name", "enabled", "priority", "models"})
LLM_TYPE = "openai-compatible"

T = TypeVar("T")
Read = tuple[T | None, list[Problem]]


def read_providers(section: ConfigNode, directory: Path) -> Read[list[ProviderConfig]]:
    """Read the entries of `providers:`."""
    return _each(section, lambda entry: _provider(entry, directory))


def read_middlewares(section: ConfigNode, directory: Path) -> Read[list[MiddlewareEntry]]:
    """Read the entries of `middlewares:`."""
    return _each(section, lambda entry: _middleware(entry, directory))


def read_llm(section: ConfigNode, directory: Path) -> Read[ProviderConfig]:
    """Read the section `llm:`, a provider in short form."""
    if not isinstance(section.value, dict):
        return _not_a_block(section)
    members = dict(section.value)
    if "type" not in members and "base_url" not in members:
        message = "needs a `base_url`, or a `type` with a default address"
        return None, [section.problem(message, "missing-key")]
    if "type" not in members:
        members = {**_untyped(section), **members}
    extra = [members.pop(name) for name in (*KEYS_NOT_IN_LLM, "model") if name in members]
    name = ConfigNode(value=LLM, mark=section.mark, key=section.key)
    config, problems = _provider(
        ConfigNode(value={**members, "name": name}, mark=section.mark, key=section.key), directory
    )
    message = "unknown key; `llm` takes every request; for a name or a list of models, add an entry to `providers`"
    return config, [
        *problems,
        *(
            Problem(mark=each.key_mark or each.mark, key=each.key, message=message, code="unknown-key")
            for each in extra
        ),
    ]


def _untyped(section: ConfigNode) -> dict[str, ConfigNode]:
    """Return the keys of an upstream without a type: requests of every dialect are relayed there."""
    spoken = [ConfigNode(value=word, mark=section.mark, literal=True) for word in catalog.http_capabilities()]
    return {
        "type": ConfigNode(value=LLM_TYPE, mark=section.mark, key=below(section.key, "type"), literal=True),
        "dialects": ConfigNode(value=spoken, mark=section.mark, key=below(section.key, "dialects")),
    }


def _each(section: ConfigNode, read: Callable[[ConfigNode], Read[T]]) -> Read[list[T]]:
    if not isinstance(section.value, list):
        return None, [wrong_kind(section, "list")]
    entries = [read(entry) for entry in section.value]
    configs = [config for config, _ in entries if config is not None]
    return configs, [problem for _, problems in entries for problem in problems]


def _provider(entry: ConfigNode, directory: Path) -> Read[ProviderConfig]:
    if not isinstance(entry.value, dict):
        return _not_a_block(entry)
    component, problems = read_component("providers", entry, directory)
    if component is None:
        return None, problems
    config = config_of(component)
    assert issubclass(config, ProviderConfig)
    settings, more = read_model(entry, config, directory)
    return settings, [*problems, *more]


def _middleware(entry: ConfigNode, directory: Path) -> Read[MiddlewareEntry]:
    if not isinstance(entry.value, dict):
        return _not_a_block(entry)
    outer = ConfigNode(value={k: v for k, v in entry.value.items() if k != "config"}, mark=entry.mark, key=entry.key)
    component, faults = read_component("middlewares", entry, directory)
    settings_names = config_of(component).model_fields if component else ()
    homes = {name: below(entry.key, f"config.{name}") for name in settings_names}
    result, problems = read_model(outer, MiddlewareEntry, directory, homes)
    problems += [each for each in faults if each.key not in {problem.key for problem in problems}]
    if component is None:
        return None, problems
    empty = ConfigNode(value={}, mark=entry.mark, key=below(entry.key, "config"))
    settings = entry.value.get("config", empty)
    config: Strict | None
    config, more = read_model(empty if settings.blank else settings, config_of(component), directory)
    return result.model_copy(update={"config": config}) if result else None, [*problems, *more]


def read_component(kind: str, entry: ConfigNode, directory: Path) -> Read[type]:
    """Find the class that the `type` of `entry` names, and what is wrong with its methods."""
    type_ = entry.members.get("type")
    if type_ is None or type_.blank:
        key = below(entry.key, "type")
        named = (name.word if (name := entry.members.get("name")) is not None else None) or ""
        known = names(kind)
        write = f"one of {', '.join(known)}" if len(known) < 5 else f"one, such as `type: {known[0]}`"
        message = f"is missing; write {f'`type: {named}`' if named in known else write}"
        return None, [Problem(mark=entry.mark, key=key, message=message, code="missing-key")]
    if type_.stand_in:
        return None, []
    if type_.word is None:
        return None, [wrong_kind(type_, "string")]
    try:
        component = find_component(kind, type_.word, directory)
    except RegistryError as error:
        meant = type_meant_by(type_.word) if kind == "providers" else None
        message = str(error) if meant is None else f"unknown provider type: {type_.word!r}; did you mean {meant!r}?"
        return None, [type_.problem(message, "unknown-type")]
    return component, [
        replace(type_.problem(fault.message, "wrong-override"), severity="warning" if fault.warning else "error")
        for fault in check_overrides(component)
    ]


def _not_a_block(node: ConfigNode) -> tuple[None, list[Problem]]:
    return None, [wrong_kind(node, "model")]
