"""What only messages understands of a node: kept when it is read, put back or listed as dropped when it is written.

Members of an inner object are kept under dotted names (`output_config.x`), so that a list of losses names their place.
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.codec import Losses
from llmproxy.dialects.members import Members
from llmproxy.dialects.model import Node

_NESTS = frozenset({"metadata", "output_config", "output_format", "source", "usage"})


def nested_extra(outer: Members, *inner: Members | None) -> dict[str, Any]:
    """What is left of an object and of objects in it, the members of these under dotted names."""
    extra = outer.left()
    for members in inner:
        if members is not None:
            prefix = members.path.removeprefix(f"{outer.path}." if outer.path else "")
            extra.update({f"{prefix}.{name}": value for name, value in members.left().items()})
    return extra


def put_extra(written: dict[str, Any], node: Node, *, own: bool, losses: Losses) -> None:
    """Put back what only this dialect understands, or list it as dropped."""
    if not own:
        losses.drop_extra(node)
        return
    for name, value in node.extra.items():
        outer, dot, inner = name.partition(".")
        if dot and outer in _NESTS:
            written.setdefault(outer, {})[inner] = value
        else:
            written[name] = value
