"""The object `thinkingConfig`, decoded, and made up for a model as it accepts it.

Source: `google.genai.types.ThinkingConfig`. Begin reading at `decode_thinking_config` and `plan_thinking_config`.
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.efforts import budget_of, effort_of, nearest_effort
from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.gemini.models import Family
from llmproxy.dialects.gemini.tables import DYNAMIC, LEVEL_WORDS, THINKING_LEVELS
from llmproxy.dialects.members import Members
from llmproxy.dialects.model import Effort, Reasoning, Request

_SHOWN, _HIDDEN = "auto", "omitted"


def decode_thinking_config(config: Members | None, paths: dict[str, str]) -> Reasoning:
    """Return what a request says of thinking, and where it stands."""
    reasoning = Reasoning()
    if config is None:
        return reasoning
    reasoning.path = config.path
    level = config.text("thinkingLevel")
    reasoning.effort = THINKING_LEVELS.get((level or "").upper())
    budget = config.whole("thinkingBudget")
    if budget == DYNAMIC:
        reasoning.mode = "adaptive"
    elif budget is not None:
        reasoning.mode = "on" if budget else "off"
        reasoning.budget_tokens = budget or None
    included = config.flag("includeThoughts")
    if included is not None:
        reasoning.summary = _SHOWN if included else _HIDDEN
    paths["effort"], paths["summary"] = config.at("thinkingLevel"), config.at("includeThoughts")
    paths["mode"] = paths["budget_tokens"] = config.at("thinkingBudget")
    reasoning.extra = config.left()
    if level is not None and reasoning.effort is None:
        reasoning.extra["thinkingLevel"] = level
    elif level is not None and level != LEVEL_WORDS[THINKING_LEVELS[level.upper()]]:
        reasoning.extra["~thinkingLevel"] = level
    return reasoning


def own_thinking_config(reasoning: Reasoning) -> dict[str, Any]:
    """Return `thinkingConfig` as its client wrote it, without its `extra`."""
    config: dict[str, Any] = {}
    if reasoning.summary is not None:
        config["includeThoughts"] = reasoning.summary != _HIDDEN
    if reasoning.mode is not None:
        config["thinkingBudget"] = {"off": 0, "adaptive": DYNAMIC}.get(reasoning.mode, reasoning.budget_tokens)
    if reasoning.effort is not None:
        config["thinkingLevel"] = LEVEL_WORDS[reasoning.effort]
    return config


def plan_thinking_config(request: Request, family: Family, context: EncodeContext) -> dict[str, Any]:
    """Return `thinkingConfig` for a request of another dialect, as its model accepts it. Changes are listed."""
    reasoning = request.reasoning
    config: dict[str, Any] = {}
    if not family.levels and family.budgets is None:
        _drop_all(request, context)
        return config
    off = reasoning.mode == "off" or reasoning.effort == "none"
    if not off and (reasoning.summary or _HIDDEN if reasoning.mode is None else reasoning.summary) != _HIDDEN:
        config["includeThoughts"] = True
    if family.budgets is not None:
        budget = _budget(request, family.budgets, context, off=off, stops=family.stops)
        if budget is not None:
            config["thinkingBudget"] = budget
    else:
        level = _level(request, family.levels, context, off=off)
        if level is not None:
            config["thinkingLevel"] = LEVEL_WORDS[level]
    return config


def _drop_all(request: Request, context: EncodeContext) -> None:
    reasoning = request.reasoning
    if reasoning.mode == "off" or reasoning.effort == "none":
        return
    for name in ("mode", "effort", "budget_tokens"):
        if getattr(reasoning, name) is not None:
            context.drop(request.where(name))


def _level(request: Request, levels: tuple[Effort, ...], context: EncodeContext, *, off: bool) -> Effort | None:
    """Return the level to ask for; None to leave it to the model."""
    reasoning, effort = request.reasoning, request.reasoning.effort
    name = "effort" if effort is not None else "mode"
    if off:
        context.adapt(request.where(name), f"{request.model} always thinks", LEVEL_WORDS[levels[0]])
        return levels[0]
    if effort is None and reasoning.budget_tokens is not None:
        return nearest_effort(effort_of(reasoning.budget_tokens), levels)
    if effort is not None and reasoning.budget_tokens is not None:
        context.drop(request.where("budget_tokens"))
    if effort is None or effort in levels:
        return effort
    nearest = nearest_effort(effort, levels)
    context.adapt(request.where("effort"), f"{request.model} has no level {effort!r}", LEVEL_WORDS[nearest])
    return nearest


def _budget(request: Request, limits: tuple[int, int], context: EncodeContext, *, off: bool, stops: bool) -> int | None:
    """Return the budget to ask for; None to leave it to the model."""
    reasoning, (least, most) = request.reasoning, limits
    if off:
        if stops:
            return 0
        name = "effort" if reasoning.effort is not None else "mode"
        context.adapt(request.where(name), f"{request.model} always thinks", f"a budget of {least} tokens")
        return least
    budget = reasoning.budget_tokens
    if budget is None and reasoning.effort is not None:
        return min(max(budget_of(reasoning.effort), least), most)
    if budget is None:
        return DYNAMIC if reasoning.mode == "adaptive" else None
    if not least <= budget <= most:
        nearest = min(max(budget, least), most)
        context.adapt(request.where("budget_tokens"), f"{request.model} takes {least} to {most} tokens", str(nearest))
        return nearest
    return budget
