"""Sources of imports as text, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llmproxy.config.document import ConfigNode, json_as_yaml, parse_yaml
from llmproxy.importers.draft import Draft, Finding


def tree(text: str) -> ConfigNode:
    """Return the tree of a source."""
    top, problems = parse_yaml(json_as_yaml(text), "source")
    assert top is not None and not problems
    return top


def imported(importer: Callable[[ConfigNode], Draft], text: str) -> tuple[dict[str, Any], dict[str, Finding]]:
    """Return the outcome of an import, and the grades by key."""
    draft = importer(tree(text))
    return draft.config, {each.key: each for each in draft.findings()}


def is_graded(key: str, grades: dict[str, Finding]) -> bool:
    """Return whether `key`, something in it, or what it stands in has a grade."""
    return any(each.startswith(key) or key.startswith(each) for each in grades)
