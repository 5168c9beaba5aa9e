"""What Claude models refuse: ways of thinking (a budget, an effort, none at all), sampling, forced tools, a last word
of the assistant, system messages among the others.

Models differ, and only their names tell how. Sources: platform.claude.com/docs/en/build-with-claude/thinking, /effort
and /mid-conversation-system-messages, the migration guides, and refusals that people recorded (vercel/ai#12296,
vercel/ai#15674, hermes-agent#120069). `scripts/model_rules.py` compares the table with a public one. Begin reading at
`claude_of` and `plan_thinking`; `claude_rules.py` applies the rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias

from llmproxy.dialects.efforts import budget_of, effort_of, nearest_effort
from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.model import Effort, Reasoning, Request

MIN_BUDGET = 1024
# How many tokens are left for the answer where we choose the limit ourselves.
_ANSWER_TOKENS = 4096
# Longer answers are for clients that ask for them.
_LONGEST = 32000

Off: TypeAlias = Literal["disabled", "between_tools", "never"]

_SAMPLING = ("temperature", "top_p", "top_k")
_TO_HIGH: tuple[Effort, ...] = ("low", "medium", "high")
_TO_MAX: tuple[Effort, ...] = (*_TO_HIGH, "xhigh", "max")


class ClaudeModel(NamedTuple):
    """What one model accepts.

    `thinks`: by a budget, adaptively, or never. `samples`: which of temperature, top_p and top_k are taken, `all`,
    `one` of the first two and the third, or `none`. `max_tokens` is the largest limit of an answer. `strict` says that
    there is structured output. `off` is the type of `thinking` that asks for the least, `never` where the model always
    thinks. `budgets` says that a budget is accepted, `efforts` are the efforts that are. `forced` says that a tool may
    be forced, `prefill` that the last message may be the assistant's, `system_turns` that `messages` may hold the
    system's.
    """

    thinks: Literal["budget", "adaptive", "never"]
    samples: Literal["all", "one", "none"]
    max_tokens: int = 64000
    strict: bool = True
    off: Off = "disabled"
    efforts: tuple[Effort, ...] = _TO_MAX
    forced: bool = True
    prefill: bool = True
    system_turns: bool = False
    budgets: bool = True


_V47 = ClaudeModel("adaptive", "none", 128000, prefill=False, budgets=False)
_V48 = _V47._replace(system_turns=True)
# Tools cannot be forced where thinking cannot be turned off.
_ALWAYS = _V48._replace(off="never", forced=False)

# Digits behind a version make it another one; dates and words do not, such as `-20250514`, `-thinking`, `[1m]`.
_END = r"(?:(?![-.]?\d+(?![a-z\d]))|(?=-20\d{6}))"
_MODELS: tuple[tuple[str, ClaudeModel], ...] = (
    (r"claude-3[-.]7", ClaudeModel("budget", "all", strict=False, efforts=())),
    (r"claude-3[-.]5", ClaudeModel("never", "all", 8192, strict=False, efforts=())),
    (r"claude-(?:3|2|instant)(?!\d)", ClaudeModel("never", "all", 4096, strict=False, efforts=())),
    (rf"claude-opus-4(?:[-.]0)?{_END}", ClaudeModel("budget", "all", 32000, strict=False, efforts=())),
    (rf"claude-opus-4[-.]1{_END}", ClaudeModel("budget", "one", 32000, efforts=())),
    (rf"claude-(?:sonnet|haiku)-4(?:[-.]0)?{_END}", ClaudeModel("budget", "all", strict=False, efforts=())),
    (rf"claude-opus-4[-.]5{_END}", ClaudeModel("budget", "one", efforts=_TO_HIGH)),
    (rf"claude-[a-z]+-4[-.][15]{_END}", ClaudeModel("budget", "one", efforts=())),
    # A refusal of xhigh names its four efforts.
    (r"claude-[a-z]+-4[-.]6", ClaudeModel("adaptive", "one", 128000, efforts=(*_TO_HIGH, "max"), prefill=False)),
    # From 4.7 on the three knobs are refused; SDK 2.x removed them.
    (r"claude-[a-z]+-4[-.]7", _V47),
    (r"claude-[a-z]+-4[-.][89]", _V48),
    # It refuses `disabled`; thinking between the calls of tools is its least.
    (r"claude-sonnet-5[-.]5", _ALWAYS._replace(off="between_tools", efforts=_TO_HIGH)),
    (r"claude-mythos-preview", _ALWAYS._replace(system_turns=False)),
    (r"claude-(?:fable|mythos|opus-5[-.][5-9](?!\d)|(?:opus|sonnet)-[6-9])", _ALWAYS),
    (r"claude-[a-z]+-[5-9]", _V48),
)
_OWN_NAME = re.compile(r"claude(?:-(?!20\d{6}|v\d|latest)[a-z]+|-(?!20\d{6})\d+(?:\.\d+)?)+")
_OTHER_CLAUDE = ClaudeModel("adaptive", "all", 32000)
# How long answers of other makers' models may be is unknown.
_OTHER = _OTHER_CLAUDE._replace(max_tokens=8192)


@lru_cache(maxsize=1024)
def claude_of(name: str) -> ClaudeModel:
    """Return the facts of a model by its name, which may be part of a longer one (`anthropic.claude-...-v1:0`)."""
    lower = name.lower()
    other = _OTHER_CLAUDE if "claude" in lower else _OTHER
    return next((model for pattern, model in _MODELS if re.search(pattern, lower)), other)


def longest_answer(name: str) -> int | None:
    """Return the largest limit of an answer, in tokens, that a model accepts; None where it is unknown."""
    model = claude_of(name)
    return None if model in (_OTHER, _OTHER_CLAUDE) else model.max_tokens


def is_claude(name: str) -> bool:
    """Return whether a name is that of a Claude model."""
    return "claude" in name.lower()


def sealed_name(name: str) -> str:
    """Return the name of a Claude model without what clouds and dates add to it; "" for other models. Each service that
    has the model accepts the thinking that it signed at any of them
    (platform.claude.com/docs/en/build-with-claude/extended-thinking)."""
    found = _OWN_NAME.search(name.lower())
    return "" if found is None else found[0].replace(".", "-")


def default_limit(model: str, context: EncodeContext) -> int:
    """Return the limit of an answer, in tokens, for a client that states none."""
    limit = context.options.default_max_tokens
    return min(_LONGEST if limit is None else limit, claude_of(model).max_tokens)


@dataclass(slots=True)
class ThinkingPlan:
    """The members `thinking` and `max_tokens`, and `output_config.effort`."""

    max_tokens: int
    thinking: dict[str, Any] | None = None
    effort: Effort | None = None

    @property
    def thinks(self) -> bool:
        """Return whether the model is asked to think."""
        return self.thinking is not None and self.thinking["type"] != "disabled"


def plan_thinking(request: Request, context: EncodeContext) -> ThinkingPlan:
    """Return what to ask for, for a request of another dialect. What cannot be asked for is listed as dropped."""
    reasoning, model = request.reasoning, claude_of(request.model)
    limit = request.sampling.max_tokens
    plan = ThinkingPlan(limit if limit is not None else default_limit(request.model, context))
    if reasoning.mode == "off" or reasoning.effort == "none":
        plan.thinking = None if model.thinks == "never" or model.off == "never" else {"type": model.off}
    elif reasoning.mode is None and reasoning.effort is None and reasoning.budget_tokens is None:
        pass
    elif model.thinks == "never":
        _drop(request, context)
    elif request.tool_choice is not None and request.tool_choice.mode in ("required", "tool"):
        # The vendor refuses to think where a tool must be called.
        _drop(request, context)
        plan.thinking = {"type": "disabled"}
    elif model.thinks == "adaptive":
        plan.thinking, plan.effort = {"type": "adaptive"}, _adaptive_effort(reasoning, model)
    else:
        _plan_budget(plan, request, model, context)
    if reasoning.summary is not None:
        if plan.thinking is not None and plan.thinks:
            plan.thinking["display"] = "omitted" if reasoning.summary == "omitted" else "summarized"
        else:
            context.drop(request.where("summary"))
    return plan


def _adaptive_effort(reasoning: Reasoning, model: ClaudeModel) -> Effort | None:
    effort = reasoning.effort
    if effort is None and reasoning.budget_tokens is not None:
        effort = effort_of(reasoning.budget_tokens)
    return None if effort is None else nearest_effort(effort, model.efforts)


def _plan_budget(plan: ThinkingPlan, request: Request, model: ClaudeModel, context: EncodeContext) -> None:
    """Set a budget that leaves tokens for the answer: the client's limit is kept, a limit of ours grows."""
    reasoning = request.reasoning
    budget = reasoning.budget_tokens or budget_of(reasoning.effort or "medium")
    if request.sampling.max_tokens is None:
        budget = min(budget, model.max_tokens - _ANSWER_TOKENS)
        plan.max_tokens = min(max(plan.max_tokens, budget + _ANSWER_TOKENS), model.max_tokens)
    elif plan.max_tokens <= MIN_BUDGET:
        _drop(request, context)
        plan.thinking = {"type": "disabled"}
        return
    elif budget >= plan.max_tokens:
        budget = plan.max_tokens // 2
    plan.thinking = {"type": "enabled", "budget_tokens": max(budget, MIN_BUDGET)}


def _drop(request: Request, context: EncodeContext) -> None:
    for name in ("mode", "effort", "budget_tokens"):
        if getattr(request.reasoning, name) is not None:
            context.drop(request.where(name) if name in request.paths else request.reasoning.path or "reasoning")


def encode_sampling(request: Request, context: EncodeContext, *, thinks: bool) -> dict[str, Any]:
    """Return `temperature`, `top_p` and `top_k` as far as the model accepts them; others are listed as dropped."""
    refused = () if context.own else refused_sampling(request, thinks=thinks)
    for name in refused:
        context.drop(request.where(name))
    values = {name: getattr(request.sampling, name) for name in _SAMPLING if name not in refused}
    return {name: value for name, value in values.items() if value is not None}


def refused_sampling(request: Request, *, thinks: bool) -> list[str]:
    """Return which of temperature, top_p and top_k the model refuses, by their names here."""
    sampling, accepted = request.sampling, claude_of(request.model).samples
    refused, kept = [], 0
    for name in _SAMPLING:
        value = getattr(sampling, name)
        if value is None:
            continue
        if accepted == "none" or not _accepts(name, value, thinks) or (accepted == "one" and name == "top_p" and kept):
            refused.append(name)
        else:
            kept += 1
    return refused


def _accepts(name: str, value: float, thinks: bool) -> bool:
    """Return whether the vendor accepts this value. A temperature ends at 1, which is also the default."""
    if name == "temperature":
        return value == 1 if thinks else value <= 1
    return not thinks or (name == "top_p" and value >= 0.95)
