"""Turn older environment variables for rate limits into entries of `limits`.

They add a limit to those of the file. Values keep the name of their variable, so that mistakes are reported there.
"""

from __future__ import annotations

from llmproxy.config.document import ConfigNode
from llmproxy.config.environment import Environment, Variable
from llmproxy.config.problems import Mark, Problem

REQUESTS, WINDOW = "PROXY_API_RATE_LIMIT_REQUESTS", "PROXY_API_RATE_LIMIT_WINDOW"
"""A limit as soon as one of the two is set."""

ENABLED, MAX_REQUESTS, WINDOW_SECONDS = "RATE_LIMIT_ENABLED", "RATE_LIMIT_MAX_REQUESTS", "RATE_LIMIT_WINDOW_SECONDS"
"""A limit when the first is true."""

_USUAL_REQUESTS, _USUAL_SECONDS = "100", "60"
_USUAL_MAX_REQUESTS = "60"
_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def overlay_limits(top: ConfigNode, environment: Environment) -> list[Problem]:
    """Add the limits that variables describe: requests of each client key, or address without one, in a window."""
    requests, window = environment.filled(REQUESTS), environment.filled(WINDOW)
    if first := requests or window:
        _add(top, first, _node(requests, _USUAL_REQUESTS, first), _node(window, _USUAL_SECONDS, first))
    enabled = environment.filled(ENABLED)
    if enabled is None or (word := enabled.value.strip().lower()) in _NO:
        return []
    if word not in _YES:
        message = f"must be true or false, not {enabled.value.strip()[:60]!r}"
        return [Problem(mark=Mark(source=enabled.place), message=message)]
    requests, window = environment.filled(MAX_REQUESTS), environment.filled(WINDOW_SECONDS)
    _add(top, enabled, _node(requests, _USUAL_MAX_REQUESTS, enabled), _node(window, _USUAL_SECONDS, enabled))
    return []


def _add(top: ConfigNode, variable: Variable, requests: ConfigNode, window: ConfigNode) -> None:
    section = top.members.get("limits")
    mark = Mark(source=variable.place)
    if section is None or section.blank:
        section = top.members["limits"] = ConfigNode(value=[], mark=mark)
    if isinstance(section.value, list):  # else it is reported when the section is read
        section.value.append(ConfigNode(value={"requests": requests, "per": window}, mark=mark))


def _node(variable: Variable | None, usual: str, first: Variable) -> ConfigNode:
    value, place = (usual, first.place) if variable is None else (variable.value.strip(), variable.place)
    return ConfigNode(value=value, mark=Mark(source=place), literal=True, variables=(place,))
