"""Find the facts about the built-in types of providers. Begin reading at `service_of`."""

from __future__ import annotations

from pathlib import Path

from llmproxy.providers.base import HttpProvider
from llmproxy.providers.service import Service
from llmproxy.registry import find_component, names


def type_with_model(word: str) -> str | None:
    """Return the built-in type whose models are called `word`, as in `claude-*`: people write that for the type."""
    for type_ in names("providers"):
        service = service_of(type_)
        if service is not None and f"{word.lower()}-*" in service.patterns:
            return type_
    return None


def service_of(type_: str) -> Service | None:
    """Return the row of a built-in type that is called over HTTP; None for any other."""
    if type_ not in names("providers"):
        return None
    component = find_component("providers", type_, Path())
    return component.Config.services[type_] if issubclass(component, HttpProvider) else None
