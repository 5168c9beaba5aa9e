"""A chat request, encoded from the neutral vocabulary.

Values of this dialect go back as they stood; of other dialects, each member is carried, listed as dropped, or refused.
Begin reading at `encode_request`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmproxy.dialects.chat.request_messages import encode_instructions, encode_message
from llmproxy.dialects.chat.service_rules import USAGE, fit_chat_request, refused_members
from llmproxy.dialects.chat.tables import (
    CACHE_OPTIONS,
    NUMBERS,
    OBJECT_KNOBS,
    SWITCH,
    SWITCH_MODES,
    SWITCH_OFF,
    TEXT_KNOBS,
    WEB_SEARCH,
)
from llmproxy.dialects.chat.tools import encode_choice, encode_tool
from llmproxy.dialects.efforts import encode_effort
from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.model import Opaque, Reasoning, Request, Tool
from llmproxy.dialects.request_fields import TIERS, encode_format, encode_knob, put_tier
from llmproxy.dialects.shared_request import share


def encode_request(request: Request, context: EncodeContext) -> dict[str, Any]:
    """Return the body for a provider. A stream always asks for its usage. Raises BadRequest for what cannot be
    carried."""
    context = context.for_model(request.model)
    request = share(request, context)
    request = request if context.own else fit_chat_request(request, context)
    body: dict[str, Any] = {"model": request.model}
    messages = encode_instructions(request.system, context)
    for message in request.messages:
        messages += encode_message(message, context)
    body["messages"] = messages
    _put_tools(body, request, context)
    _put_sampling(body, request, context)
    _put_reasoning(body, request, context)
    if request.format is not None:
        body["response_format"] = encode_format(request.format, "json_schema", context)
    _put_knobs(body, request, context)
    context.put_cache(body, request)
    if request.stream:
        body["stream"] = True
        if context.own or USAGE not in refused_members(request.model, context.options.chat_refuses):
            body[USAGE] = {"include_usage": True}
    context.put_extra(body, request)
    return body


def _put_tools(body: dict[str, Any], request: Request, context: EncodeContext) -> None:
    tools, choice = [], request.tool_choice
    # Services that know no choice among some tools get those alone.
    allowed = None if choice is None or context.takes_custom else choice.allowed
    for tool in request.tools:
        if isinstance(tool, Opaque) and tool.dialect == "chat" and tool.kind == WEB_SEARCH:
            body[WEB_SEARCH] = tool.value
        elif allowed is None or not isinstance(tool, Tool) or tool.name in allowed:
            tools.append(encode_tool(tool, context))
    if tools:
        body["tools"] = tools
    elif allowed is not None:
        return  # nothing is left to choose from
    if choice is not None:
        choice = choice if allowed is None else msgspec.structs.replace(choice, allowed=None)
        body["tool_choice"] = encode_choice(choice, request.tools, context)
    if request.parallel_tools is not None:
        body["parallel_tool_calls"] = request.parallel_tools


def _put_sampling(body: dict[str, Any], request: Request, context: EncodeContext) -> None:
    sampling = request.sampling
    if sampling.max_tokens is not None:
        name = request.where("max_tokens") if context.own else context.options.max_tokens_name
        body[name] = sampling.max_tokens
    values = {name: getattr(sampling, name) for name in NUMBERS}
    values[request.where("seed") if context.own else context.options.seed_name] = sampling.seed
    body |= {name: value for name, value in values.items() if value is not None}
    if sampling.top_logprobs is not None:
        body["top_logprobs"] = sampling.top_logprobs
        body.setdefault("logprobs", True)
    if sampling.stop:
        body["stop"] = sampling.stop
    if sampling.top_k is not None:
        if context.own:
            body["top_k"] = sampling.top_k
        else:
            context.drop(request.where("top_k"))
    context.put_extra(body, sampling)


def _put_reasoning(body: dict[str, Any], request: Request, context: EncodeContext) -> None:
    """Add the effort. That a model adapts its thinking is what chat models do anyway, and cannot be asked for."""
    reasoning = request.reasoning
    if reasoning.summary is not None:
        context.drop(request.where("summary"))
    effort = encode_effort(request, context)
    if context.own and reasoning.path == SWITCH:
        _put_own_switch(body, reasoning, context)
    elif effort == "none" and context.options.thinking_switch:
        body[SWITCH] = {"type": SWITCH_OFF}
    elif effort is not None:
        body["reasoning_effort"] = effort
    elif reasoning.mode is not None:
        context.drop(request.where("mode") if "mode" in request.paths else reasoning.path or "reasoning")
    if not context.own:
        context.put_extra(body, reasoning)


def _put_own_switch(body: dict[str, Any], reasoning: Reasoning, context: EncodeContext) -> None:
    """Add `thinking` as it stood, and the effort beside it."""
    switch: dict[str, Any] = {"type": next(word for word, mode in SWITCH_MODES.items() if mode == reasoning.mode)}
    if reasoning.budget_tokens is not None:
        switch["budget_tokens"] = reasoning.budget_tokens
    context.put_extra(switch, reasoning)
    body[SWITCH] = switch
    if reasoning.effort is not None:
        body["reasoning_effort"] = reasoning.effort


def _put_knobs(body: dict[str, Any], request: Request, context: EncodeContext) -> None:
    for name, value in request.knobs.items():
        if name == "service_tier":
            put_tier(body, value, context.options.tiers or TIERS, request.where(name), context)
        elif name == "prompt_cache_options" and not context.own:
            _put_cache_options(body, value, request.where(name), context)
        elif name in TEXT_KNOBS or name in OBJECT_KNOBS:
            body[name] = encode_knob(name, value, context)
        elif name == "store":
            if context.own or value:  # in other dialects, false is what happens here by default
                body[name] = value
        else:
            context.drop(request.where(name))


def _put_cache_options(body: dict[str, Any], options: dict[str, Any], path: str, context: EncodeContext) -> None:
    """Add `prompt_cache_options`, of which other APIs have more."""
    accepted = {name: value for name, value in options.items() if value in CACHE_OPTIONS.get(name, ())}
    for name in options:
        if name not in accepted:
            context.drop(f"{path}.{name}")
    if accepted:
        body["prompt_cache_options"] = accepted
