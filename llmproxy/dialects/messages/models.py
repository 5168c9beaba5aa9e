"""How a model is asked to think: by a budget, by an effort, or not at all; and what that means for other knobs.

Models differ in what they take, which is known by their names alone. Source:
platform.claude.com/docs/en/build-with-claude/thinking and /effort. Begin reading at `plan`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from llmproxy.dialects.codec import Losses
from llmproxy.dialects.efforts import budget_of, effort_of
from llmproxy.dialects.model import Effort, Reasoning, Request

SMALLEST_BUDGET = 1024
# What is left for the answer where we choose the limit ourselves.
_ROOM = 4096


class Model(NamedTuple):
    """`thinks`: whether by a budget, adaptively, or never. `samples`: which of temperature, top_p and top_k are taken:
    `all`, `one` of the first two and the third, or `none`. `most_tokens`: how long an answer may be asked for.
    `strict`: whether it knows structured output."""

    thinks: Literal["budget", "adaptive", "never"]
    samples: Literal["all", "one", "none"]
    most_tokens: int = 64000
    strict: bool = True


_END = r"(?:$|[-@:](?:20\d{6}|latest|v\d))"
_MODELS: tuple[tuple[str, Model], ...] = (
    (r"claude-3[-.]7", Model("budget", "all", strict=False)),
    (r"claude-3[-.]5", Model("never", "all", 8192, strict=False)),
    (r"claude-(?:3|2|instant)(?!\d)", Model("never", "all", 4096, strict=False)),
    (rf"claude-opus-4(?:[-.]0)?{_END}", Model("budget", "all", 32000, strict=False)),
    (rf"claude-opus-4[-.]1{_END}", Model("budget", "one", 32000)),
    (rf"claude-(?:sonnet|haiku)-4(?:[-.]0)?{_END}", Model("budget", "all", strict=False)),
    (rf"claude-[a-z]+-4[-.][15]{_END}", Model("budget", "one")),
    (r"claude-[a-z]+-4[-.]6", Model("adaptive", "one")),
    # From 4.7 on the three knobs are refused; the SDK 2.x has left them out.
    (r"claude-(?:[a-z]+-(?:4[-.][7-9]|[5-9])|fable|mythos)", Model("adaptive", "none")),
)
_OTHER = Model("adaptive", "all")


@lru_cache(maxsize=1024)
def model_of(name: str) -> Model:
    """What is known of a model by its name, which may stand in a longer one (`anthropic.claude-...-v1:0`)."""
    return next((model for pattern, model in _MODELS if re.search(pattern, name.lower())), _OTHER)


@dataclass(slots=True)
class Plan:
    """The members `thinking` and `max_tokens`, and `output_config.effort`."""

    max_tokens: int
    thinking: dict[str, Any] | None = None
    effort: Effort | None = None

    @property
    def thinks(self) -> bool:
        """Whether the model is asked to think."""
        return self.thinking is not None and self.thinking["type"] != "disabled"


def plan(request: Request, default_max_tokens: int, losses: Losses) -> Plan:
    """What to ask for, for a request of another dialect. What cannot be asked for is listed as dropped."""
    wanted, model = request.reasoning, model_of(request.model)
    limit = request.sampling.max_tokens
    planned = Plan(limit if limit is not None else min(default_max_tokens, model.most_tokens))
    if wanted.mode == "off" or wanted.effort == "none":
        planned.thinking = None if model.thinks == "never" else {"type": "disabled"}
    elif wanted.mode is None and wanted.effort is None and wanted.budget_tokens is None:
        pass
    elif model.thinks == "never":
        _drop(request, losses)
    elif request.tool_choice is not None and request.tool_choice.mode in ("required", "tool"):
        # The vendor refuses to think where a tool must be called.
        _drop(request, losses)
        planned.thinking = {"type": "disabled"}
    elif model.thinks == "adaptive":
        planned.thinking, planned.effort = {"type": "adaptive"}, _effort(wanted)
    else:
        _plan_budget(planned, request, model, losses)
    if wanted.summary is not None:
        if planned.thinking is not None and planned.thinks:
            planned.thinking["display"] = "omitted" if wanted.summary == "omitted" else "summarized"
        else:
            losses.drop(request.where("summary"))
    return planned


def _effort(wanted: Reasoning) -> Effort | None:
    effort = wanted.effort
    if effort is None and wanted.budget_tokens is not None:
        effort = effort_of(wanted.budget_tokens)
    return "low" if effort == "minimal" else effort


def _plan_budget(plan: Plan, request: Request, model: Model, losses: Losses) -> None:
    """A budget that leaves room for the answer: the client's limit is kept, a limit of ours grows."""
    wanted = request.reasoning
    budget = wanted.budget_tokens or budget_of(wanted.effort or "medium")
    if request.sampling.max_tokens is None:
        budget = min(budget, model.most_tokens - _ROOM)
        plan.max_tokens = min(max(plan.max_tokens, budget + _ROOM), model.most_tokens)
    elif plan.max_tokens <= SMALLEST_BUDGET:
        _drop(request, losses)
        plan.thinking = {"type": "disabled"}
        return
    elif budget >= plan.max_tokens:
        budget = plan.max_tokens // 2
    plan.thinking = {"type": "enabled", "budget_tokens": max(budget, SMALLEST_BUDGET)}


def _drop(request: Request, losses: Losses) -> None:
    for name in ("mode", "effort", "budget_tokens"):
        if getattr(request.reasoning, name) is not None:
            losses.drop(request.where(name) if name in request.paths else request.reasoning.path or "reasoning")


def sampled(request: Request, *, thinks: bool, losses: Losses) -> dict[str, Any]:
    """The members `temperature`, `top_p` and `top_k` as far as the model takes them; others are listed as dropped."""
    sampling, takes = request.sampling, model_of(request.model).samples
    written: dict[str, Any] = {}
    for name in ("temperature", "top_p", "top_k"):
        value = getattr(sampling, name)
        if value is None:
            continue
        if takes == "none" or not _takes(name, value, thinks) or (name == "top_p" and takes == "one" and written):
            losses.drop(request.where(name))
        else:
            written[name] = value
    return written


def _takes(name: str, value: float, thinks: bool) -> bool:
    """Whether the vendor takes this value. A temperature ends at 1, which is also what counts without one."""
    if name == "temperature":
        return value == 1 if thinks else value <= 1
    return not thinks or (name == "top_p" and value >= 0.95)
