"""The object `thinking` of Claude, decoded and encoded as it stood. What to ask of a model is in `claude_models.py`.

Source: the `thinking_config_param` of Anthropic's SDK.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from llmproxy.dialects.claude_models import claude_of
from llmproxy.dialects.members import Members
from llmproxy.dialects.model import Reasoning

ThinkingMode: TypeAlias = Literal["on", "adaptive", "off"]

_BETWEEN_TOOLS = "between_tools"
_THINKING: tuple[tuple[str, ThinkingMode], ...] = (
    ("enabled", "on"),
    ("adaptive", "adaptive"),
    ("disabled", "off"),
    # Only read:
    (_BETWEEN_TOOLS, "adaptive"),
)
THINKING_MODES: dict[str, ThinkingMode] = dict(_THINKING)
THINKING_TYPES: dict[ThinkingMode, str] = {mode: kind for kind, mode in reversed(_THINKING)}
_DISPLAYS = (("summarized", "auto"), ("omitted", "omitted"))
_SUMMARIES = dict(_DISPLAYS)
"""The values of `thinking.display`, in the words of `Reasoning.summary`."""
DISPLAYS = {summary: display for display, summary in _DISPLAYS}


def decode_thinking(thinking: Members, reasoning: Reasoning, paths: dict[str, str]) -> None:
    """Add what `thinking` says to `reasoning`, and where it stands to `paths`."""
    kind = thinking.word("type", tuple(THINKING_MODES)) or thinking.missing("type")
    reasoning.path, reasoning.mode = thinking.path, THINKING_MODES[kind]
    reasoning.budget_tokens = thinking.whole("budget_tokens")
    display = thinking.text("display")
    reasoning.summary = _SUMMARIES.get(display or "")
    paths["mode"] = thinking.at("type")
    paths["budget_tokens"], paths["summary"] = thinking.at("budget_tokens"), thinking.at("display")
    reasoning.extra = thinking.left()
    if kind == _BETWEEN_TOOLS:
        reasoning.extra["type"] = kind
    if display is not None and reasoning.summary is None:
        reasoning.extra["display"] = display


def own_thinking(reasoning: Reasoning) -> dict[str, Any] | None:
    """Return `thinking` as its client wrote it, without its `extra`; None where it says nothing of that."""
    if reasoning.mode is None:
        return None
    thinking: dict[str, Any] = {"type": THINKING_TYPES[reasoning.mode]}
    if reasoning.budget_tokens is not None:
        thinking["budget_tokens"] = reasoning.budget_tokens
    if reasoning.summary is not None:
        thinking["display"] = DISPLAYS.get(reasoning.summary, "summarized")
    return thinking


def without_thinking(fields: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Return the members of a request with thinking turned off, as far as the model lets itself be."""
    if claude_of(model).off == "disabled":
        return {**fields, "thinking": {"type": "disabled"}}
    return {name: value for name, value in fields.items() if name != "thinking"}
