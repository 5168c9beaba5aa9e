"""Describe in words what differs between two configurations, and find what cannot change while the server runs.

Only names of entries and fields are in these words, never values: any of them may be a secret. Begin reading at
`describe_changes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmproxy.config.load import Loaded
from llmproxy.config.schema import Config

# Lists of entries with names: their section, how one is called, and the field with its name.
_NAMED: Sequence[tuple[tuple[str, ...], str, str]] = (
    (("providers",), "provider", "name"),
    (("models",), "model", "name"),
    (("middlewares",), "middleware", "type"),
    (("auth", "keys"), "client key", "name"),
)
_FIXED: Mapping[str, Sequence[str]] = {
    "server": ("host", "port", "tls", "workers"),
    "logging": ("format", "file", "max_size", "backups"),
    "telemetry": ("enabled", "prometheus_port", "prometheus_host"),
}
_MOST_NAMED = 20


def describe_changes(before: Loaded, after: Loaded) -> list[str]:
    """Return a sentence for each difference: "provider 'eu' added", "server.max_body_size changed"."""
    old, new = _plain(before), _plain(after)
    changes: list[str] = []
    for path, noun, name in _NAMED:
        changes += _entries(noun, _named(_take(old, path), name), _named(_take(new, path), name))
    changes += _entries("store", old.pop("stores"), new.pop("stores"))
    changes += _fields(old, new)
    return changes if len(changes) <= _MOST_NAMED else [*changes[:_MOST_NAMED], f"{len(changes) - _MOST_NAMED} more"]


def keep_fixed(before: Config, after: Config) -> tuple[Config, list[str]]:
    """Return `after` with what cannot change while the server runs as it is in `before`, and a sentence for each."""
    reasons: list[str] = []
    for section, names in _FIXED.items():
        old, new = getattr(before, section), getattr(after, section)
        changed = [name for name in names if getattr(old, name) != getattr(new, name)]
        kept = new.model_copy(update={name: getattr(old, name) for name in changed})
        after = after.model_copy(update={section: kept})
        reasons += [
            f"{section}.{name} cannot change while llmproxy runs; restart it for the new value" for name in changed
        ]
    return after, reasons


def _plain(loaded: Loaded) -> dict[str, Any]:
    config = loaded.checked().model_dump()
    config["auth"]["keys"] = [*config["auth"]["keys"], *(each.model_dump() for each in loaded.file_keys)]
    return config


def _take(config: dict[str, Any], path: Sequence[str]) -> Sequence[Mapping[str, Any]]:
    """Remove the list at `path` and return it."""
    *sections, last = path
    for section in sections:
        config = config[section]
    entries: Sequence[Mapping[str, Any]] = config.pop(last)
    return entries


def _named(entries: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    """Return entries by name; of several with one name all but the first with their place."""
    found: dict[str, Any] = {}
    for place, entry in enumerate(entries):
        word = str(entry.get(name) or entry.get("id") or place)
        found[word if word not in found else f"{word} ({place})"] = entry
    return found


def _entries(noun: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Describe how entries with names differ."""
    yield from (f"{noun} {name!r} removed" for name in old if name not in new)
    yield from (f"{noun} {name!r} added" for name in new if name not in old)
    both = [name for name in new if name in old]
    for name in both:
        if old[name] != new[name]:
            yield f"{noun} {name!r} changed: {', '.join(_differing(old[name], new[name]))}"
    if [name for name in old if name in new] != both:
        yield f"order of the {noun}s changed"


def _differing(old: Any, new: Any) -> list[str]:
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        return ["value"]
    return [
        f"{name}.{inner}" if inner else name
        for name in dict.fromkeys((*old, *new))
        if old.get(name) != new.get(name)
        for inner in (_differing(old[name], new[name]) if name == "config" and name in old and name in new else [""])
    ]


def _fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Describe how sections differ, field by field."""
    for section in dict.fromkeys((*old, *new)):
        one, other = old.get(section), new.get(section)
        if one == other:
            continue
        if isinstance(one, Mapping) and isinstance(other, Mapping) and section != "prices":
            yield from (f"{section}.{name} changed" for name in _differing(one, other))
        elif one in (None, [], {}):
            yield f"{section} added"
        else:
            yield f"{section} removed" if other in (None, [], {}) else f"{section} changed"
