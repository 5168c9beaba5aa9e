"""What a model refuses of a request in its own dialect, which is relayed as it came: for `llmproxy lint`.

Requests of other dialects never come so far: `claude_models.py` plans their thinking, their sampling and their limits.
Begin reading at `judge_relayed`.
"""

from __future__ import annotations

from llmproxy.dialects.claude_models import MIN_BUDGET, ClaudeModel, refused_sampling
from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.model import Request

_BETWEEN = "between_tools"
"""The type of thinking that some models take in place of none."""


def judge_relayed(request: Request, model: ClaudeModel, context: EncodeContext) -> None:
    """List what the model refuses beside what `fit_claude_request` lists."""
    reasoning, name = request.reasoning, request.model
    why = _why_not_so(request, model)
    if why:
        context.adapt(request.where("mode"), why)
    if reasoning.effort is not None and model.thinks != "adaptive" and reasoning.effort not in model.efforts:
        accepted = f"the efforts {', '.join(model.efforts)}" if model.efforts else "no effort"
        context.adapt(request.where("effort"), f"{name} accepts {accepted}")
    _judge_budget(request, context)
    thinks, choice = reasoning.mode in ("on", "adaptive"), request.tool_choice
    if thinks and model.forced and choice is not None and choice.mode in ("required", "tool"):
        path = choice.path or request.where("tool_choice")
        context.adapt(path, "a tool cannot be forced while the model thinks")
    if model.samples != "none":
        for knob in refused_sampling(request, thinks=thinks):
            context.adapt(request.where(knob), _why_no(request, knob, thinks=thinks))


def _why_not_so(request: Request, model: ClaudeModel) -> str:
    """Return why the model refuses this way of thinking; nothing when it does not."""
    name, mode = request.model, request.reasoning.mode
    if request.reasoning.extra.get("type") == _BETWEEN:
        return f"{name} does not know {_BETWEEN!r}" if model.off == "disabled" else ""
    if mode in ("on", "adaptive") and model.thinks == "never":
        return f"{name} does not think"
    if mode == "adaptive" and model.thinks == "budget":
        return f"{name} thinks by a budget of tokens"
    if mode == "on" and not model.budgets:
        return f"{name} thinks adaptively, by an effort instead of a budget"
    return ""


def _judge_budget(request: Request, context: EncodeContext) -> None:
    budget, limit = request.reasoning.budget_tokens, request.sampling.max_tokens
    if budget is None:
        return
    if budget < MIN_BUDGET:
        context.adapt(request.where("budget_tokens"), f"a budget has at least {MIN_BUDGET} tokens")
    elif limit is not None and budget >= limit:
        context.adapt(request.where("budget_tokens"), "a budget is smaller than max_tokens")


def _why_no(request: Request, knob: str, *, thinks: bool) -> str:
    if thinks:
        return f"{request.model} accepts no such {knob} while it thinks"
    if knob == "temperature":
        return "a temperature is 1 at most"
    return f"{request.model} accepts a temperature or a top_p"
