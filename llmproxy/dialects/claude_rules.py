"""What the target's model refuses, changed in the neutral request into what it accepts, each change listed.

The facts are in `claude_models.py`. Begin reading at `fit_claude_request`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmproxy.dialects.claude_models import ClaudeModel, claude_of, is_claude, longest_answer
from llmproxy.dialects.claude_relay_rules import judge_relayed
from llmproxy.dialects.efforts import nearest_effort
from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.model import Effort, Message, Reasoning, Request, Sampling, Text, Thinking, ToolChoice
from llmproxy.dialects.request_fields import cut_limit
from llmproxy.dialects.system_turns import as_user_turns, has_system_turns

CONTINUATION = "Continue."
"""What the user says behind an answer that was cut off."""


def fit_claude_request(request: Request, context: EncodeContext) -> Request:
    """Return the request as its model accepts it. Raises BadRequest where nothing like it can be sent."""
    model = claude_of(request.model)
    if context.own and is_claude(request.model):
        judge_relayed(request, model, context)
    changes: dict[str, Any] = {}
    reasoning = _fit_reasoning(request, model, context)
    if reasoning is not request.reasoning:
        changes["reasoning"] = reasoning
    sampling = _fit_sampling(request, model, context)
    if sampling is not request.sampling:
        changes["sampling"] = sampling
    if not request.messages and request.system:
        request = _with_question(request, context)
    choice = request.tool_choice
    if choice is not None and not model.forced and choice.mode in ("required", "tool"):
        changes["tool_choice"] = _free_choice(request, choice, context)
    messages = _fit_messages(request, model, context)
    if messages is not request.messages:
        changes["messages"] = messages
    return msgspec.structs.replace(request, **changes) if changes else request


def _fit_reasoning(request: Request, model: ClaudeModel, context: EncodeContext) -> Reasoning:
    reasoning = request.reasoning
    if model.thinks == "never":
        return reasoning
    if reasoning.mode == "off" or reasoning.effort == "none":
        if model.off == "disabled":
            return reasoning
        path = request.where("effort") if reasoning.mode is None else _thinking_path(request)
        if model.off == "between_tools":
            context.adapt(path, f"{request.model} cannot stop thinking altogether", model.off)
            return reasoning
        context.adapt(path, f"{request.model} always thinks")
        return Reasoning()
    effort = reasoning.effort
    if effort is None or model.thinks != "adaptive" or effort in model.efforts:
        return reasoning
    nearest: Effort = nearest_effort(effort, model.efforts)
    efforts = ", ".join(model.efforts)
    context.adapt(request.where("effort"), f"{request.model} accepts the efforts {efforts}, not {effort}", nearest)
    return msgspec.structs.replace(reasoning, effort=nearest)


def _fit_sampling(request: Request, model: ClaudeModel, context: EncodeContext) -> Sampling:
    sampling = request.sampling
    changes: dict[str, Any] = {}
    if model.samples == "none":
        for name in ("temperature", "top_p", "top_k"):
            if getattr(sampling, name) is not None:
                changes[name] = None
                context.adapt(request.where(name), f"{request.model} accepts no {name}")
    longest = longest_answer(request.model)
    if longest is not None and sampling.max_tokens is not None and sampling.max_tokens > longest:
        changes["max_tokens"] = cut_limit(request, longest, context)
    return msgspec.structs.replace(sampling, **changes) if changes else sampling


def _thinking_path(request: Request) -> str:
    name = next((name for name in ("mode", "effort") if name in request.paths), None)
    return request.reasoning.path or "reasoning" if name is None else request.where(name)


def _free_choice(request: Request, choice: ToolChoice, context: EncodeContext) -> ToolChoice:
    """Return a choice that leaves the model free, among the tools that were named."""
    path = choice.path or request.where("tool_choice")
    context.adapt(path, f"{request.model} cannot be forced to call a tool", "auto")
    allowed = choice.allowed if choice.name is None else [choice.name]
    return msgspec.structs.replace(choice, mode="auto", name=None, allowed=allowed)


def _with_question(request: Request, context: EncodeContext) -> Request:
    """Return a request of nothing but instructions, which other vendors answer, with the last one as the user's."""
    *others, last = request.system
    context.adapt(last.path, "a Messages API needs a message of the user", "user")
    question = Message(path=last.path, role="user", content=list(last.content), extra=last.extra)
    return msgspec.structs.replace(request, system=others, messages=[question])


def _fit_messages(request: Request, model: ClaudeModel, context: EncodeContext) -> list[Message]:
    messages = request.messages
    if has_system_turns(messages):
        option = context.options.system_turns
        some = model.system_turns if option is None else option
        messages = as_user_turns(messages, request.model, context, some=some)
    if not model.prefill and messages and _begins_answer(messages[-1]):
        messages = [*messages, _continuation(request, messages[-1], context)]
    return messages


def _begins_answer(message: Message) -> bool:
    if message.role != "assistant":
        return False
    return any(
        not isinstance(block, Thinking | Text) or (isinstance(block, Text) and block.text.strip())
        for block in message.content
    )


def _continuation(request: Request, last: Message, context: EncodeContext) -> Message:
    """Return the message that lets the model go on behind `last`. Raises BadRequest where the client means that as the
    beginning of the answer, as far as its dialect tells."""
    why = f"{request.model} refuses a last message of the assistant"
    option = context.options.prefill
    if option == "refuse" or (option == "auto" and request.dialect != "responses"):
        context.refuse(last.path, f"{why}. Let the user have the last word, or set `prefill: continue`")
    context.adapt(last.path, why, "a message of the user behind it")
    return Message(path=last.path, role="user", content=[Text(path=last.path, text=CONTINUATION)])
