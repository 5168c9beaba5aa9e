"""Paths into JSON, as the configuration names what traces must not hold: `messages[*].content`, `..email`.

A path is a list of names separated by dots; `["odd.name"]` quotes one, `*` is every member, `[*]` every item, `[0]` the
first and `[-1]` the last, `..` before a name searches at any depth. A leading `$.` is ignored. A leading
`request.body.` or `response.body.` restricts the path to one side. Begin reading at `parse_path`.
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
_FORM = "write names separated by dots, and [*] or [0] for items: messages[*].content"


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an object; None is every member. `deep` searches at any depth."""

    name: str | None
    deep: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """An item of a list, counted from the end when negative; None is every item."""

    index: int | None


Step = Member | Item


@dataclass(frozen=True, slots=True)
class Path:
    """A place in a body. `side` None is both sides."""

    side: Side | None
    steps: tuple[Step, ...]


def parse_path(text: str) -> Path:
    """Parse `text`. Raises ValueError with a remedy."""
    side: Side | None = None
    rest = text.strip()
    if match := _SIDE.match(rest):
        side, rest = ("request" if match[1] == "request" else "response"), rest[match.end() :]
    elif re.match(r"(request|response)\b", rest):
        raise ValueError(f"{text!r} is not a path: write `request.body.` or `response.body.`")
    elif rest.startswith("$"):
        rest = rest[1:]
    elif not rest.startswith(("[", "..")):
        rest = "." + rest
    steps: list[Step] = []
    while rest:
        step = _STEP.match(rest)
        if step is None or (step["name"] and not rest.startswith(".")):
            raise ValueError(f"{text!r} is not a path, from {rest!r} on; {_FORM}")
        steps.append(_step(step))
        rest = rest[step.end() :]
    if not steps:
        raise ValueError(f"{text!r} names no field of a body; {_FORM}")
    return Path(side, tuple(steps))


def _step(match: re.Match[str]) -> Step:
    if match["index"]:
        return Item(None if match["index"] == "*" else int(match["index"]))
    if match["deep"]:
        return Member(match["deep_name"], deep=True)
    name = match["name"] or match["quoted"]
    return Member(None if match["name"] == "*" else name)


def mask_paths(value: object, paths: Iterable[Path]) -> bool:
    """Put MASK at every place of `value` (dicts and lists, changed in place) that a path names; return whether there
    was one.
    """
    masked = False
    for path in paths:
        holders: list[object] = [value]
        for step in path.steps[:-1]:
            holders = [below[key] for holder in holders for below, key in _places(holder, step)]
        for holder in holders:
            for below, key in _places(holder, path.steps[-1]):
                below[key] = MASK
                masked = True
    return masked


_Place = tuple[dict[object, object], object]


def _places(value: object, step: Step) -> list[_Place]:
    """Return the holders and keys that `step` leads to from `value`. Lists are typed as dicts here: both are read by
    key.
    """
    if isinstance(step, Item):
        return list(_items(value, step.index))
    if step.deep:
        return list(_at_any_depth(value, step.name))
    return list(_members(value, step.name))


def _items(value: object, index: int | None) -> Iterator[_Place]:
    if isinstance(value, list):
        indices = range(len(value)) if index is None else [index] if -len(value) <= index < len(value) else []
        for each in indices:
            yield value, each  # type: ignore[misc]  # read and written by key, as a dict is


def _members(value: object, name: str | None) -> Iterator[_Place]:
    if isinstance(value, dict):
        for key in [*value] if name is None else [name] if name in value else []:
            yield value, key


def _at_any_depth(value: object, name: str | None) -> Iterator[_Place]:
    """Yield the places named `name`, without descending into them: what is below is masked with them."""
    waiting = [value]
    while waiting:
        holder = waiting.pop()
        if isinstance(holder, dict):
            if name in holder:
                yield holder, name
            waiting += [member for key, member in holder.items() if key != name]
        elif isinstance(holder, list):
            waiting += holder
