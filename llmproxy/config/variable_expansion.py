"""Expand the variables in the values of a configuration, and report those that are not set.

Entries that are disabled may name variables that are missing. Begin reading at `expand_values`.
"""

from __future__ import annotations

from llmproxy.config.cross_checks import disabled
from llmproxy.config.document import ConfigNode
from llmproxy.config.environment import Variable, Variables, expand
from llmproxy.config.problems import Problem


def expand_values(node: ConfigNode, variables: Variables, *, lenient: bool) -> list[Problem]:
    """Expand the variables below `node`. Where it is `lenient`, a placeholder stands for those that are missing."""
    if isinstance(node.value, str):
        return [] if node.literal else _expand(node, variables, lenient)
    problems = []
    if isinstance(node.value, list):
        for item in node.value:
            problems += expand_values(item, variables, lenient=lenient)
    elif isinstance(node.value, dict):
        if "enabled" in node.value:
            problems += expand_values(node.value["enabled"], variables, lenient=lenient)
            lenient = lenient or disabled(node)
        for name, member in node.value.items():
            if name != "enabled":
                problems += expand_values(member, variables, lenient=lenient)
    return problems


def _expand(node: ConfigNode, variables: Variables, lenient: bool) -> list[Problem]:
    assert isinstance(node.value, str)
    expanded = expand(node.value, variables)
    if expanded.fault:
        node.stand_in = True
        return [node.problem(expanded.fault, "variable-syntax")]
    if expanded.missing:
        node.value, node.stand_in = expand(node.value, _AnyVariable()).text, True
        return [] if lenient else [node.problem(_describe_missing(expanded.missing), "missing-variable")]
    node.value, node.variables, node.defaulted = expanded.text, expanded.variables, expanded.defaulted
    node.blank = bool(expanded.defaulted) and not expanded.text
    return []


def _describe_missing(names: tuple[str, ...]) -> str:
    joined = " and ".join(names)
    if len(names) == 1:
        return f"environment variable {joined} is not set; set it, or add it to a .env file"
    return f"environment variables {joined} are not set; set them, or add them to a .env file"


class _AnyVariable:
    """Every variable, with a placeholder as its value."""

    def find(self, name: str) -> Variable | None:
        return Variable(value="placeholder", place=f"environment variable {name}")
