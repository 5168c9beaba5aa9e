"""What the target's model refuses of a chat or responses request, changed into what it accepts, each change listed.

The facts are in `openai_models.py`. Begin reading at `fit_openai_request`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmproxy.dialects.efforts import effort_of, nearest_effort
from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.model import Effort, Reasoning, Request, Sampling
from llmproxy.dialects.openai_models import ENCRYPTED_REASONING, OpenAIModel, served_model
from llmproxy.dialects.request_fields import cut_limit
from llmproxy.dialects.system_turns import fit_messages

_SAMPLING = (
    *("temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs"),
)
_OLDER_LIMIT = "max_tokens"


def reasons(request: Request, context: EncodeContext) -> bool:
    """Return whether the model reasons, as far as is known."""
    model = served_model(request.model, context.options.efforts)
    return model is None or bool(model.efforts)


def fit_openai_request(request: Request, context: EncodeContext) -> Request:
    """Return the request as its model and service accept it."""
    changes: dict[str, Any] = {}
    messages = fit_messages(request, context)
    if messages is not request.messages:
        changes["messages"] = messages
    model = served_model(request.model, context.options.efforts)
    if model is not None:
        if context.own:
            _judge_relayed(request, model, context)
        effort = _effort_of(request.reasoning)
        fitted = _fit_effort(request, model, effort, context)
        if effort is None and request.reasoning.mode is not None and not model.efforts:
            context.adapt(reasoning_path(request), f"{request.model} does not reason")
        if fitted != effort or (request.reasoning.mode is not None and not model.efforts):
            summary = request.reasoning.summary if model.efforts else None
            changes["reasoning"] = Reasoning(path=request.reasoning.path, effort=fitted, summary=summary)
        sampling = _fit_sampling(request, model, fitted, context)
        if sampling is not request.sampling:
            changes["sampling"] = sampling
    return msgspec.structs.replace(request, **changes) if changes else request


def _judge_relayed(request: Request, model: OpenAIModel, context: EncodeContext) -> None:
    """List what the model refuses of a request in its own dialect, which others never get so far."""
    if request.paths.get("max_tokens") == _OLDER_LIMIT and model.efforts and model.samples != "always":
        context.adapt(_OLDER_LIMIT, f"{request.model} has max_completion_tokens instead")
    if not model.efforts and request.reasoning.effort == "none":
        context.adapt(request.where("effort"), f"{request.model} does not reason")
    if not model.efforts and ENCRYPTED_REASONING in request.extra.get("~include", ()):
        context.adapt("include", f"{request.model} does not reason")


def _effort_of(reasoning: Reasoning) -> Effort | None:
    if reasoning.mode == "off":
        return "none"
    if reasoning.effort is None and reasoning.budget_tokens is not None:
        return effort_of(reasoning.budget_tokens)
    return reasoning.effort


def _fit_effort(request: Request, model: OpenAIModel, effort: Effort | None, context: EncodeContext) -> Effort | None:
    """Return the effort to send, None for none. A model that does not reason need not be told to stop."""
    if effort is None or effort in model.efforts or (effort == "none" and not model.efforts):
        return effort if effort in model.efforts else None
    thinking = [each for each in model.efforts if each != "none"]
    path = reasoning_path(request)
    if not thinking:
        does = f"thinks without a choice of efforts, such as {effort}" if model.efforts else "does not reason"
        context.adapt(path, f"{request.model} {does}")
        return None
    nearest = nearest_effort(effort, model.efforts)
    accepted = ", ".join(model.efforts)
    context.adapt(path, f"{request.model} accepts the efforts {accepted}, not {effort}", nearest)
    return nearest


def reasoning_path(request: Request) -> str:
    """Return the JSON path of what asks for thinking, or for none."""
    reasoning = request.reasoning
    fields = {"effort": reasoning.effort, "budget_tokens": reasoning.budget_tokens, "mode": reasoning.mode}
    names = ("mode",) if reasoning.mode == "off" else fields
    name = next((name for name in names if fields[name] is not None), "")
    return request.where(name) if name in request.paths else reasoning.path or "reasoning"


def _fit_sampling(request: Request, model: OpenAIModel, effort: Effort | None, context: EncodeContext) -> Sampling:
    sampling = request.sampling
    refused: dict[str, Any] = {}
    if not _samples(model, effort):
        for name in _SAMPLING:
            value = getattr(sampling, name)
            if value is not None:
                refused[name] = None
                if value is not False:
                    context.adapt(request.where(name), f"{request.model} has no {name} while it reasons")
    if model.stops is not None and len(sampling.stop) > model.stops:
        refused["stop"] = sampling.stop[: model.stops]
        kept = f"the first {model.stops}" if model.stops else ""
        context.adapt(request.where("stop"), f"{request.model} accepts {model.stops or 'no'} stop sequences", kept)
    if sampling.logit_bias and model.stops == 0 and "logit_bias" not in refused:
        refused["logit_bias"] = None
        context.adapt(request.where("logit_bias"), f"{request.model} has no logit_bias")
    if model.longest is not None and sampling.max_tokens is not None and sampling.max_tokens > model.longest:
        refused["max_tokens"] = cut_limit(request, model.longest, context)
    return msgspec.structs.replace(sampling, **refused) if refused else sampling


def _samples(model: OpenAIModel, effort: Effort | None) -> bool:
    if model.samples == "always":
        return True
    return model.samples != "never" and (effort == "none" or (effort is None and model.samples == "default"))
