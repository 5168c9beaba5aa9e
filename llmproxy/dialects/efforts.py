"""Two ways of saying how much thinking is wanted, a budget of tokens and an effort, each told in the other."""

from __future__ import annotations

from llmproxy.dialects.model import Effort

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
    """The thinking budget, in tokens, that stands for `effort`; 0 for `none`."""
    return dict(_BUDGETS).get(effort, 0)


def effort_of(budget_tokens: int) -> Effort:
    """The effort that stands for a thinking budget: the smallest whose budget is enough; `max` beyond all."""
    return next((effort for effort, tokens in _BUDGETS if budget_tokens <= tokens), "max")
