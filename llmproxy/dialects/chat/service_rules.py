"""What a chat service refuses of a request that OpenAI accepts, changed or left out, each change listed.

The facts stand in the services' rows (`providers/compatible.py`), as `Options`. Begin reading at `fit_chat_request`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import msgspec

from llmproxy.dialects.encode_context import EncodeContext, RefusedRows
from llmproxy.dialects.model import Message, Reasoning, Request, Sampling
from llmproxy.dialects.openai_rules import fit_openai_request, reasoning_path

_SAMPLING = ("presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs", "stop")
USAGE = "stream_options"
_SERVICE = "the provider"


def fit_chat_request(request: Request, context: EncodeContext) -> Request:
    """Return the request as its model and service accept it."""
    request = fit_openai_request(request, context)
    options = context.options
    changes: dict[str, Any] = {}
    if options.chat_knobs is not None and (options.strict_members or not context.own):
        knobs = _fit_knobs(request, options.chat_knobs, context)
        if len(knobs) < len(request.knobs):
            changes["knobs"] = knobs
    if options.chat_refuses:
        changes |= _fit_members(request, refused_members(request.model, options.chat_refuses), context)
    if options.thinking_switch and _forces_tool(request) and request.reasoning.mode != "off":
        changes["reasoning"] = _without_thinking(request, context)
    if context.own:
        _judge_relayed(request, context)
    return msgspec.structs.replace(request, **changes) if changes else request


def _judge_relayed(request: Request, context: EncodeContext) -> None:
    """List what the service refuses of a request that is relayed. In others it has another form."""
    options = context.options
    if options.structured_output == "tool" and request.format is not None and request.format.kind == "schema":
        context.adapt(request.where("format"), f"{_SERVICE} has no JSON of a schema")
    if request.sampling.seed is not None and request.where("seed") != options.seed_name:
        context.adapt(request.where("seed"), f"{_SERVICE} has {options.seed_name} instead")
    if options.thinking_switch and request.reasoning.effort == "none":
        context.adapt(request.where("effort"), f"{_SERVICE} has `thinking: {{type: disabled}}` instead")


@lru_cache(maxsize=1024)
def refused_members(model: str, rows: RefusedRows) -> frozenset[str]:
    """Return the names that a service refuses for a model, by the first pattern that is part of its name."""
    lower = model.lower()
    return next((names for pattern, names in rows if re.search(pattern, lower)), frozenset())


def _fit_knobs(request: Request, accepted: frozenset[str], context: EncodeContext) -> dict[str, Any]:
    for name, value in request.knobs.items():
        if name not in accepted and value is not False:  # `store: false` is what happens by default
            context.adapt(request.where(name), f"{_SERVICE} has no {name}")
    return {name: value for name, value in request.knobs.items() if name in accepted}


def _fit_members(request: Request, refused: frozenset[str], context: EncodeContext) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    sampling = _fit_sampling(request, refused, context)
    if sampling is not request.sampling:
        changes["sampling"] = sampling
    if "name" in refused and any([message.name is not None for message in request.messages]):
        changes["messages"] = [_nameless(message, context) for message in request.messages]
    if USAGE in refused and context.own and request.stream and request.include_usage:
        context.adapt(USAGE, f"{_SERVICE} has none, and counts the tokens of every stream")
    return changes


def _fit_sampling(request: Request, refused: frozenset[str], context: EncodeContext) -> Sampling:
    changes: dict[str, Any] = {}
    for name in _SAMPLING:
        value = getattr(request.sampling, name) if name in refused else None
        if value:
            context.adapt(request.where(name), f"{_SERVICE} has no {name} for {request.model}")
        if value is not None:
            changes[name] = [] if name == "stop" else None
    return msgspec.structs.replace(request.sampling, **changes) if changes else request.sampling


def _nameless(message: Message, context: EncodeContext) -> Message:
    if message.name is None:
        return message
    context.adapt(f"{message.path}.name", f"{_SERVICE} has no names in messages")
    return msgspec.structs.replace(message, name=None)


def _forces_tool(request: Request) -> bool:
    return request.tool_choice is not None and request.tool_choice.mode in ("required", "tool")


def _without_thinking(request: Request, context: EncodeContext) -> Reasoning:
    """Return how a forced tool is called where a model that thinks cannot be forced: without thinking, which is its
    default. List that where the client asked for thinking."""
    reasoning = request.reasoning
    if context.own or reasoning.mode or reasoning.effort or reasoning.budget_tokens:
        path = request.where("tool_choice") if context.own else reasoning_path(request)
        context.adapt(path, f"{request.model} does not think where a tool must be called", "no thinking")
    return Reasoning(mode="off", path=reasoning.path)
