"""Paths into JSON, as the configuration names what traces must not hold: `messages[*].content`, `..email`.

A path is names with dots between them; `["odd.name"]` quotes one, `*` is every member, `[*]` every item, `[0]` the
first and `[-1]` the last, `..` before a name looks for it at any depth. `$.` at the beginning changes nothing.
`request.body.` or `response.body.` there restricts it to one side. Begin reading at `parse`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from llmproxy.redaction.names import MASK

Side = Literal["request", "response"]

_SIDE = re.compile(r"(request|response)\.body(?=[.\[]|$)")
_STEP = re.compile(
    r"(?P<deep>\.\.)(?P<deep_name>[\w$@-]+)"
    r"|\.?(?P<name>[\w$@-]+|\*)"
    r"|\[(?P<index>\*|-?\d{1,9})\]"
    r'|\["(?P<quoted>[^"]+)"\]'
)
_FORM = "write names with dots between them, [*] or [0] for items: messages[*].content"


@dataclass(frozen=True, slots=True)
class Member:
    """The member of an object; None is every member. `deep` looks at any depth."""

    name: str | None
    deep: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """The item of a list, from its end when negative; None is every item."""

    index: int | None


Step = Member | Item


@dataclass(frozen=True, slots=True)
class Path:
    """Where something stands in a body. `side` None is both."""

    side: Side | None
    steps: tuple[Step, ...]


def parse_path(text: str) -> Path:
    """The path that `text` writes. Raises ValueError, with a remedy, for anything else."""
    side: Side | None = None
    rest = text.strip()
    if found := _SIDE.match(rest):
        side, rest = ("request" if found[1] == "request" else "response"), rest[found.end() :]
    elif re.match(r"(request|response)\b", rest):
        raise ValueError(f"{text!r} is no path: after `request.` and `response.` comes `body.`")
    elif rest.startswith("$"):
        rest = rest[1:]
    elif not rest.startswith(("[", "..")):
        rest = "." + rest
    steps: list[Step] = []
    while rest:
        step = _STEP.match(rest)
        if step is None or (step["name"] and not rest.startswith(".")):
            raise ValueError(f"{text!r} is no path, from {rest!r} on; {_FORM}")
        steps.append(_step(step))
        rest = rest[step.end() :]
    if not steps:
        raise ValueError(f"{text!r} names nothing in a body; {_FORM}")
    return Path(side, tuple(steps))


def _step(found: re.Match[str]) -> Step:
    if found["index"]:
        return Item(None if found["index"] == "*" else int(found["index"]))
    if found["deep"]:
        return Member(found["deep_name"], deep=True)
    name = found["name"] or found["quoted"]
    return Member(None if found["name"] == "*" else name)


def mask_paths(value: object, paths: Iterable[Path]) -> bool:
    """Put MASK at every place of `value` (dicts and lists, changed in place) that a path names; whether any is."""
    hidden = False
    for path in paths:
        holders: list[object] = [value]
        for step in path.steps[:-1]:
            holders = [below[key] for holder in holders for below, key in _places(holder, step)]
        for holder in holders:
            for below, key in _places(holder, path.steps[-1]):
                below[key] = MASK
                hidden = True
    return hidden


_Place = tuple[dict[object, object], object]


def _places(value: object, step: Step) -> list[_Place]:
    """Where `step` leads from `value`: holders and keys. Lists stand for dicts here: both are read by key."""
    if isinstance(step, Item):
        return list(_items(value, step.index))
    if step.deep:
        return list(_at_any_depth(value, step.name))
    return list(_members(value, step.name))


def _items(value: object, index: int | None) -> Iterator[_Place]:
    if isinstance(value, list):
        wanted = range(len(value)) if index is None else [index] if -len(value) <= index < len(value) else []
        for each in wanted:
            yield value, each  # type: ignore[misc]  # read and written by key, as a dict is


def _members(value: object, name: str | None) -> Iterator[_Place]:
    if isinstance(value, dict):
        for key in [*value] if name is None else [name] if name in value else []:
            yield value, key


def _at_any_depth(value: object, name: str | None) -> Iterator[_Place]:
    """What stands below a place that is named itself is left: it goes with that place."""
    waiting = [value]
    while waiting:
        holder = waiting.pop()
        if isinstance(holder, dict):
            if name in holder:
                yield holder, name
            waiting += [member for key, member in holder.items() if key != name]
        elif isinstance(holder, list):
            waiting += holder
