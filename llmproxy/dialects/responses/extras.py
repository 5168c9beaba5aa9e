"""What only responses understands of a node: kept when it is read, put back or listed as dropped when it is written.

Members of an inner object are kept under dotted names (`reasoning.context`). Names that begin with `~` are the API's
own bookkeeping (ids and states of earlier items): put back here, of no meaning elsewhere.
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.codec import Losses
from llmproxy.dialects.members import Members
from llmproxy.dialects.model import Node

ITEM = "~item"
"""What an output message was besides its parts (id, status, phase); on the first of its blocks."""

_BOOKKEEPING = ("id", "status")


def nested_extra(outer: Members, *inner: Members) -> dict[str, Any]:
    """What is left of an object and of objects in it, the members of these under dotted names."""
    extra = outer.left()
    for members in inner:
        prefix = members.path.removeprefix(f"{outer.path}." if outer.path else "")
        extra.update({f"{prefix}.{name}": value for name, value in members.left().items()})
    return extra


def item_extra(item: Members) -> dict[str, Any]:
    """The same for an item, with its bookkeeping."""
    kept = {f"~{name}": value for name in _BOOKKEEPING if (value := item.any(name)) is not None}
    return item.left() | kept


def put_extra(written: dict[str, Any], node: Node, *, own: bool, losses: Losses) -> None:
    """Put back what only this dialect understands, or list it as dropped."""
    if not own:
        losses.drop_extra(node)
        return
    for name, value in node.extra.items():
        if name == ITEM:
            continue
        outer, dot, inner = name.removeprefix("~").partition(".")
        if dot:
            written.setdefault(outer, {})[inner] = value
        else:
            written[outer] = value


def drop_cache(node: Any, losses: Losses) -> None:
    """List a prompt-cache mark, which the API does not have: it caches by itself."""
    if node.cache is not None:
        losses.drop(f"{node.path}.cache_control" if node.path else "cache_control")
