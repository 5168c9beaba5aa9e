"""The two ways of limiting how much a model thinks, a budget of tokens and an effort, and one in terms of the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.model import Effort, Request

EFFORTS: tuple[Effort, ...] = get_args(Effort)
# Thinking budgets (tokens) beside the efforts that other dialects name.
_BUDGETS: tuple[tuple[Effort, int], ...] = (
    ("minimal", 1024),
    ("low", 2048),
    ("medium", 8192),
    ("high", 16384),
    ("xhigh", 24576),
    ("max", 32768),
)


def budget_of(effort: Effort) -> int:
    """Return the thinking budget, in tokens, that stands for `effort`; 0 for `none`."""
    return dict(_BUDGETS).get(effort, 0)


def effort_of(budget_tokens: int) -> Effort:
    """Return the effort that stands for a thinking budget: the smallest whose budget is enough; `max` beyond all."""
    return next((effort for effort, tokens in _BUDGETS if budget_tokens <= tokens), "max")


def nearest_effort(effort: Effort, accepted: Sequence[Effort]) -> Effort:
    """Return the nearest of the efforts that a model accepts, of two equally near ones the higher. Some thinking never
    becomes none."""
    if effort in accepted:
        return effort
    position = EFFORTS.index(effort)
    some = [each for each in accepted if each != "none"]
    return min(some, key=lambda each: (abs(EFFORTS.index(each) - position), -EFFORTS.index(each)))


def encode_effort(request: Request, context: EncodeContext) -> Effort | None:
    """Return the effort that a request asks for, where its target has efforts and no budgets; None when it does not
    say."""
    reasoning = request.reasoning
    if reasoning.mode == "off":
        return "none"
    if reasoning.effort is not None:
        if reasoning.budget_tokens is not None:
            context.drop(request.where("budget_tokens"))
        return reasoning.effort
    return effort_of(reasoning.budget_tokens) if reasoning.budget_tokens is not None else None
