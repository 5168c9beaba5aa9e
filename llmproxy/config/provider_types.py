"""Find the facts about the built-in types of providers. Begin reading at `service_of`."""

from __future__ import annotations

from pathlib import Path

from llmproxy.providers.base import HttpProvider
from llmproxy.providers.service import Service
from llmproxy.registry import find_component, names


def type_meant_by(word: str) -> str | None:
    """Return the built-in type for which people write `word`: its vendor, or the name of its models (`claude-*`)."""
    for type_ in names("providers"):
        service = service_of(type_)
        if service is not None and (word.lower() in service.other_names or f"{word.lower()}-*" in service.patterns):
            return type_
    return None


def service_of(type_: str) -> Service | None:
    """Return the row of a built-in type that is called over HTTP; None for any other."""
    if type_ not in names("providers"):
        return None
    component = find_component("providers", type_, Path())
    return component.Config.services[type_] if issubclass(component, HttpProvider) else None
