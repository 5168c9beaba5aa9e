"""A request, encoded from the neutral vocabulary. Begin reading at `encode_request`."""

from __future__ import annotations

from typing import Any

import msgspec

from llmproxy.dialects.efforts import encode_effort
from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.model import Format, Instruction, Message, Opaque, Request, Thinking
from llmproxy.dialects.openai_models import ENCRYPTED_REASONING
from llmproxy.dialects.openai_rules import fit_openai_request, reasons
from llmproxy.dialects.request_fields import TIERS, encode_format, encode_knob, put_tier
from llmproxy.dialects.responses.content import encode_content
from llmproxy.dialects.responses.request_messages import encode_message
from llmproxy.dialects.responses.tables import LACKING, LOGPROBS, OBJECT_KNOBS, TEXT_KNOBS
from llmproxy.dialects.responses.tools import encode_choice, encode_tool
from llmproxy.dialects.shared_request import share

# The API refuses a smaller limit.
_MIN_TOKENS = 16


def encode_request(request: Request, context: EncodeContext) -> dict[str, Any]:
    """Return the body for a provider. Raises BadRequest for what cannot be carried."""
    context = context.for_model(request.model)
    request = share(request, context)
    request = request if context.own else fit_openai_request(request, context)
    body: dict[str, Any] = {"model": request.model}
    items = _put_system(body, request, context)
    for message in _put_prompt(body, request.messages):
        items += encode_message(message, context)
    body["input"] = _encode_input(items)
    if not body["input"] and "prompt" in body:
        del body["input"]
    _put_tools(body, request, context)
    _put_sampling(body, request, context)
    _put_reasoning(body, request, context)
    if request.format is not None:
        body.setdefault("text", {})["format"] = _encode_format(request.format, context)
    _put_knobs(body, request, context)
    if request.stream:
        body["stream"] = True
    context.drop_cache(request)
    context.put_extra(body, request)
    return body


def _put_system(body: dict[str, Any], request: Request, context: EncodeContext) -> list[dict[str, Any]]:
    """Add `instructions`, and return the items that stood beside them in a request of this dialect, or that stand
    there from the first one on with a prompt-cache mark, which `instructions` cannot have."""
    items: list[dict[str, Any]] = []
    marked = False
    texts: list[str] = []
    for instruction in request.system:
        marked = marked or (context.options.cache_breakpoints and _is_marked(instruction))
        if marked if not context.own else instruction.path != "instructions":
            item: dict[str, Any] = {
                "role": instruction.role,
                "content": encode_content([*instruction.content], context),
            }
            context.put_extra(item, instruction)
            items.append(item)
        else:
            texts += _instruction_texts(instruction, context)
    if any(texts):
        body["instructions"] = "\n\n".join(text for text in texts if text)
    return items


def _is_marked(instruction: Instruction) -> bool:
    return any([text.cache is not None for text in instruction.content])


def _instruction_texts(instruction: Instruction, context: EncodeContext) -> list[str]:
    for text in instruction.content:
        context.drop_cache(text)
        context.drop_annotations(text)
        context.drop_extra(text)
    context.drop_extra(instruction)
    return [text.text for text in instruction.content]


def _put_prompt(body: dict[str, Any], messages: list[Message]) -> list[Message]:
    """Add `prompt`, which is decoded as the first message; return the others."""
    if messages and messages[0].path == "prompt" and isinstance(messages[0].content[0], Opaque):
        body["prompt"] = messages[0].content[0].value
        return messages[1:]
    return messages


def _encode_input(items: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Return the items; a string where the user's one text is all."""
    if len(items) == 1 and items[0].keys() == {"role", "content"} and items[0]["role"] == "user":
        content = items[0]["content"]
        if isinstance(content, str):
            return content
    return items


def _put_tools(body: dict[str, Any], request: Request, context: EncodeContext) -> None:
    if request.tools:
        body["tools"] = [encode_tool(tool, context) for tool in request.tools]
    if request.tool_choice is not None:
        body["tool_choice"] = encode_choice(request.tool_choice, request.tools, context)
    if request.parallel_tools is not None:
        body["parallel_tool_calls"] = request.parallel_tools


def _put_sampling(body: dict[str, Any], request: Request, context: EncodeContext) -> None:
    sampling = request.sampling
    if sampling.max_tokens is not None:
        body["max_output_tokens"] = sampling.max_tokens if context.own else max(sampling.max_tokens, _MIN_TOKENS)
    if sampling.temperature is not None:
        body["temperature"] = sampling.temperature
    if sampling.top_p is not None:
        body["top_p"] = sampling.top_p
    if sampling.logprobs or (sampling.top_logprobs is not None and not context.own):
        body["include"] = [LOGPROBS]
    if sampling.top_logprobs is not None:
        body["top_logprobs"] = sampling.top_logprobs
    for name in LACKING:
        if getattr(sampling, name) not in (None, []):
            context.drop(request.where(name))
    context.put_extra(body, sampling)


def _put_reasoning(body: dict[str, Any], request: Request, context: EncodeContext) -> None:
    reasoning = request.reasoning
    effort = encode_effort(request, context)
    members: dict[str, Any] = {}
    if effort is not None:
        members["effort"] = effort
    able = context.own or reasons(request, context)
    thinks = able and (effort not in (None, "none") or reasoning.mode in ("on", "adaptive"))
    if reasoning.summary is not None and not able:
        context.drop(request.where("summary"))
    elif reasoning.summary is not None and reasoning.summary != "omitted":
        members["summary"] = "auto" if reasoning.summary == "summarized" else reasoning.summary
    elif thinks and not context.own and reasoning.summary is None:
        members["summary"] = "auto"  # other dialects show thinking by default
    if members:
        body["reasoning"] = members
    if not context.own and (thinks or (able and _has_encrypted_thinking(request, context))):
        # Reasoning goes on in the next turn only when it comes along.
        body["include"] = [*body.get("include", []), ENCRYPTED_REASONING]
    context.put_extra(body, reasoning)


def _has_encrypted_thinking(request: Request, context: EncodeContext) -> bool:
    found = any(
        isinstance(block, Thinking) and block.dialect == "responses" and block.encrypted
        for message in request.messages
        for block in message.content
    )
    if not found:
        context.need_all_messages()
    return found


def _encode_format(form: Format, context: EncodeContext) -> dict[str, Any]:
    if form.kind == "schema" and form.schema is None and not context.own:
        form = msgspec.structs.replace(form, schema={"type": "object"})  # the API demands one
    return encode_format(form, None, context)


def _put_knobs(body: dict[str, Any], request: Request, context: EncodeContext) -> None:
    if not context.own:
        # In other dialects nothing is kept at the provider, so nothing is here.
        body["store"] = False
    for name, value in request.knobs.items():
        if name == "service_tier":
            put_tier(body, value, TIERS, request.where(name), context)
        elif name in TEXT_KNOBS or name in OBJECT_KNOBS:
            body[name] = encode_knob(name, value, context)
        elif name == "store":
            body["store"] = value
        elif name == "verbosity":
            body.setdefault("text", {})["verbosity"] = value
        else:
            context.drop(request.where(name))
