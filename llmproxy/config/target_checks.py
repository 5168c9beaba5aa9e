"""Check the targets of a model against each other: one that stands there twice, a shadow that is one of them.

Works on the tree. Begin reading at `repeated_targets`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmproxy.config.document import ConfigNode
from llmproxy.config.problems import Problem
from llmproxy.config.routing_schema import split_target

# What two targets may differ in and be the same: both share the work of one.
_SHARES = frozenset({"weight", "rpm", "tpm", "concurrent"})
_OLDER = "model_groups"


def repeated_targets(top: ConfigNode) -> Iterator[Problem]:
    """Report targets that a model has twice, and warn of a shadow that is one of its targets."""
    for model in top.members["models"].items if "models" in top.members else []:
        seen: dict[Any, ConfigNode] = {}
        for target in model.members["targets"].items if "targets" in model.members else []:
            if target.stand_in or target.blank:
                continue
            if (first := seen.setdefault(_identity(target), target)) is not target:
                yield _twice(target, first)
        shadow = model.members.get("shadow")
        if shadow is None or shadow.stand_in or shadow.blank:
            continue
        if (same := seen.get(_identity(shadow))) is not None:
            message = f"is also a target{_line(same)}, which gets such requests twice; choose another shadow"
            yield Problem(mark=shadow.mark, key=shadow.key, message=message, code="target-twice", severity="warning")


def _twice(target: ConfigNode, first: ConfigNode) -> Problem:
    """Return the problem of a target that stands there again. Older files gave a target more weight in this way."""
    message = f"is the same target as the one{_line(first)}; remove one, and give the other its `weight`"
    is_older = target.key.startswith(_OLDER)
    return Problem(
        mark=target.mark,
        key=target.key,
        message=message,
        code="target-twice",
        severity="warning" if is_older else "error",
    )


def _line(target: ConfigNode) -> str:
    return f" on line {target.mark.line}" if target.mark.line else ""


def _identity(target: ConfigNode) -> Any:
    """Return what tells a target from others."""
    if not target.members:
        return tuple(sorted(split_target(target.word or "").items()))
    values = ((name, _value(node)) for name, node in target.members.items() if name not in _SHARES and not node.blank)
    return tuple(sorted(values, key=str))


def _value(node: ConfigNode) -> Any:
    if isinstance(node.value, dict):
        return tuple(sorted(((name, _value(each)) for name, each in node.members.items()), key=str))
    return tuple(map(_value, node.items)) if isinstance(node.value, list) else node.word
