"""The WebSockets of a dialect: their paths, where they name a model, and what the events of the server report.

Begin reading at `SocketCalls`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote_plus

import msgspec

from llmproxy.dialects.usage import Usage, UsageDetails

_MODEL_FIELDS = ("model", "deployment")
_SEPARATOR = re.compile("[&;]")
_NAME = re.compile(rf"\s*(?:{'|'.join(_MODEL_FIELDS)})(?![a-z0-9_-])")  # model[] and model. too, as some readers do


class EventFacts(msgspec.Struct, kw_only=True):
    """Facts in an event of the server; None where it does not say them. `usage` is that of one answer."""

    usage: Usage | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SocketCalls:
    """The WebSockets of a dialect.

    `paths` are unversioned; clients put the version of the dialect in front of them where `versioned` is set.
    `capability` is the word that a provider must list to serve them. `names_model` says that their query may name a
    model, in the field `model` or, at Azure, `deployment`. One of the `markers` stands in every event that `read`,
    which gets it decoded, finds something in. `first_model` returns the model that the first message of a client
    names, where that is known.
    """

    paths: tuple[str, ...]
    capability: str
    markers: tuple[bytes, ...]
    read: Callable[[Mapping[str, Any]], EventFacts]
    first_model: Callable[[Mapping[str, Any]], str | None] | None = None
    names_model: bool = False
    versioned: bool = True

    def read_event(self, data: bytes) -> EventFacts | None:
        """Return the facts in a message of the server; None when it has none, or cannot be decoded."""
        if not any([marker in data for marker in self.markers]):
            return None
        event = _decoded(data)
        return None if event is None else self.read(event)

    def read_first(self, data: bytes) -> str | None:
        """Return the model that the first message of a client names."""
        message = _decoded(data)
        return None if message is None or self.first_model is None else self.first_model(message)


def _decoded(data: bytes) -> dict[str, Any] | None:
    try:
        value = msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def names_deployment(query: str | None) -> bool:
    """Return whether the query of a WebSocket is that of Azure's deployments."""
    return any(part.startswith("deployment=") for part in (query or "").split("&"))


def model_in_query(query: str | None) -> str | None:
    """Return the model that the query of a WebSocket names; None where it names none."""
    fields = dict(each.partition("=")[::2] for each in reversed((query or "").split("&")))
    return next((unquote_plus(value) for name in _MODEL_FIELDS if (value := fields.get(name))), None)


def names_models(query: str | None) -> int:
    """Return how many different models the query of a WebSocket names to one reader or another: some take the first
    field of a name and some the last, do not tell letters apart, or take more signs for separators."""
    fields = [each.partition("=")[::2] for each in _SEPARATOR.split(query or "")]
    return len({unquote_plus(value) for name, value in fields if _NAME.match(unquote_plus(name).lower())})


def with_model(query: str | None, model: str, field: str | None = None) -> str:
    """Return `query` with another model, in the field `field` or in that where it stands; all else byte for byte."""
    parts = (query or "").split("&")
    for index, part in enumerate(parts):
        name = part.partition("=")[0]
        if name in _MODEL_FIELDS:
            parts[index] = f"{field or name}={quote(model, safe='/:')}"
    return "&".join(parts)


def without_deployment(query: str) -> str:
    """Return the query of a WebSocket that names a model, in the form of OpenAI: the model in `model`, no version."""
    parts = [part for part in query.split("&") if not part.startswith("api-version=")]
    return with_model("&".join(parts), model_in_query(query) or "", "model")


def add_usage(first: Usage | None, second: Usage) -> Usage:
    """Return the tokens of two answers together; what one of them does not say is what the other says."""
    if first is None:
        return second
    sums = {name: _sum(getattr(first, name), getattr(second, name)) for name in Usage.__struct_fields__[:-1]}
    return Usage(**sums, details=_add_details(first.details, second.details))


def _add_details(
    first: UsageDetails | msgspec.UnsetType, second: UsageDetails | msgspec.UnsetType
) -> UsageDetails | msgspec.UnsetType:
    if not isinstance(first, UsageDetails) or not isinstance(second, UsageDetails):
        return second if isinstance(second, UsageDetails) else first
    sums: dict[str, Any] = {}
    for name in UsageDetails.__struct_fields__:
        one, other = getattr(first, name), getattr(second, name)
        sums[name] = (other if other is not None else one) if name == "tier" else _sum(one, other)
    return UsageDetails(**sums)


def _sum(first: Any, second: Any) -> Any:
    if first is None or second is None:
        return second if first is None else first
    return first + second
