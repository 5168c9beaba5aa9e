"""What only one dialect understands of a value: kept in `extra` when decoded, put back when that dialect encodes it.

Names that begin with `~` are bookkeeping of that dialect (ids, states): put back without the mark, and no loss in other
dialects. Begin reading at `nested_extra` and `put_back`.
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.members import Members

ITEM = "~item"
"""Bookkeeping of the item that a block stood in (id, status, phase), kept by the first block of the item."""


class Inner(dict[str, Any]):
    """The unknown members of an object inside another object, kept under the name of the inner object."""


def nested_extra(outer: Members, *inner: Members | None) -> dict[str, Any]:
    """Return what is left of an object, and of objects that are members of it."""
    extra = outer.left()
    for members in inner:
        if members is not None and (rest := members.left()):
            extra[members.path.rpartition(".")[2]] = Inner(rest)
    return extra


def put_back(body: dict[str, Any], extra: dict[str, Any]) -> None:
    """Put `extra` back into the object that it came from."""
    for name, value in extra.items():
        if name == ITEM:
            continue
        name = name.removeprefix("~")
        if isinstance(value, Inner):
            put_back(body.setdefault(name, {}), value)
        else:
            body[name] = value


def paths_of(extra: dict[str, Any], path: str) -> list[str]:
    """Return the JSON path of each member of `extra`, which was kept from the object at `path`; no bookkeeping."""
    paths: list[str] = []
    for name, value in extra.items():
        if name[:1] == "~":
            continue
        label = name or '""'  # a list of losses names it, too
        inner = f"{path}.{label}" if path else label
        paths += paths_of(value, inner) if type(value) is Inner else (inner,)
    return paths
