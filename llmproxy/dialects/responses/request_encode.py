"""Writing a request from the neutral vocabulary. Begin reading at `encode_request`."""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.codec import Losses, refuse_unshared
from llmproxy.dialects.efforts import effort_of
from llmproxy.dialects.model import Effort, Format, Message, Opaque, Reasoning, Request, Thinking
from llmproxy.dialects.name_limits import MAX_USER, shortened
from llmproxy.dialects.responses.content import write_content
from llmproxy.dialects.responses.extras import drop_cache, put_extra
from llmproxy.dialects.responses.request_decode import LOGPROBS, OBJECT_KNOBS, SEALED, TEXT_KNOBS
from llmproxy.dialects.responses.request_messages import write_message
from llmproxy.dialects.responses.tools import write_choice, write_tool

TIERS = frozenset(("auto", "default", "flex", "scale", "priority", "fast"))
_TIERS_ELSEWHERE = {"standard_only": "default", "standard": "default"}
_LACKING = ("stop", "top_k", "seed", "presence_penalty", "frequency_penalty", "logit_bias")
# The API refuses a smaller limit.
_LEAST_TOKENS = 16


def encode_request(request: Request, losses: Losses) -> dict[str, Any]:
    """The body to send to a provider. Raises BadRequest for content that cannot be carried."""
    own = request.dialect == "responses"
    if not own:
        refuse_unshared(request, losses)
    body: dict[str, Any] = {"model": request.model}
    items = _put_system(body, request, own=own, losses=losses)
    messages = _put_prompt(body, request.messages)
    for message in messages:
        items += write_message(message, own=own, losses=losses)
    body["input"] = _input(items)
    if not body["input"] and "prompt" in body:
        del body["input"]
    _put_tools(body, request, own=own, losses=losses)
    _put_sampling(body, request, own=own, losses=losses)
    _put_reasoning(body, request, own=own, losses=losses)
    if request.format is not None:
        body.setdefault("text", {})["format"] = _format(request.format, own=own, losses=losses)
    _put_knobs(body, request, own=own, losses=losses)
    if request.stream:
        body["stream"] = True
    drop_cache(request, losses)
    put_extra(body, request, own=own, losses=losses)
    return body


def _put_system(body: dict[str, Any], request: Request, *, own: bool, losses: Losses) -> list[dict[str, Any]]:
    """`instructions`, and, for one's own, the items that stood beside it."""
    items: list[dict[str, Any]] = []
    texts: list[str] = []
    for instruction in request.system:
        if own and instruction.path != "instructions":
            content = write_content([*instruction.content], own=own, losses=losses)
            item: dict[str, Any] = {"role": instruction.role, "content": content}
            put_extra(item, instruction, own=own, losses=losses)
            items.append(item)
            continue
        for text in instruction.content:
            texts.append(text.text)
            drop_cache(text, losses)
            for each in text.annotations:
                losses.drop(each.path)
            if not own:
                losses.drop_extra(text)
        if not own:
            losses.drop_extra(instruction)
    if any(texts):
        body["instructions"] = "\n\n".join(text for text in texts if text)
    return items


def _put_prompt(body: dict[str, Any], messages: list[Message]) -> list[Message]:
    """`prompt`, which is read as the first message."""
    if messages and messages[0].path == "prompt" and isinstance(messages[0].content[0], Opaque):
        body["prompt"] = messages[0].content[0].value
        return messages[1:]
    return messages


def _input(items: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """The items; a string where the user's one text is all."""
    if len(items) == 1 and items[0].keys() == {"role", "content"} and items[0]["role"] == "user":
        content = items[0]["content"]
        if isinstance(content, str):
            return content
    return items


def _put_tools(body: dict[str, Any], request: Request, *, own: bool, losses: Losses) -> None:
    if request.tools:
        body["tools"] = [write_tool(tool, own=own, losses=losses) for tool in request.tools]
    if request.tool_choice is not None:
        body["tool_choice"] = write_choice(request.tool_choice, request.tools, own=own, losses=losses)
    if request.parallel_tools is not None:
        body["parallel_tool_calls"] = request.parallel_tools


def _put_sampling(body: dict[str, Any], request: Request, *, own: bool, losses: Losses) -> None:
    sampling = request.sampling
    if sampling.max_tokens is not None:
        body["max_output_tokens"] = sampling.max_tokens if own else max(sampling.max_tokens, _LEAST_TOKENS)
    if sampling.temperature is not None:
        body["temperature"] = sampling.temperature
    if sampling.top_p is not None:
        body["top_p"] = sampling.top_p
    if sampling.logprobs or (sampling.top_logprobs is not None and not own):
        body["include"] = [LOGPROBS]
    if sampling.top_logprobs is not None:
        body["top_logprobs"] = sampling.top_logprobs
    for name in _LACKING:
        if getattr(sampling, name) not in (None, []):
            losses.drop(request.where(name))
    put_extra(body, sampling, own=own, losses=losses)


def _put_reasoning(body: dict[str, Any], request: Request, *, own: bool, losses: Losses) -> None:
    wanted = request.reasoning
    effort = _effort(request, wanted, losses)
    written: dict[str, Any] = {}
    if effort is not None:
        written["effort"] = effort
    thinks = effort not in (None, "none") or wanted.mode in ("on", "adaptive")
    if wanted.summary is not None and wanted.summary != "omitted":
        written["summary"] = "auto" if wanted.summary == "summarized" else wanted.summary
    elif thinks and not own and wanted.summary is None:
        written["summary"] = "auto"  # elsewhere thinking is shown unasked
    if written:
        body["reasoning"] = written
    sealed = any(
        isinstance(block, Thinking) and block.dialect == "responses" and block.encrypted
        for message in request.messages
        for block in message.content
    )
    if not own and (thinks or sealed):
        # Reasoning goes on in the next turn only when it comes along.
        body["include"] = [*body.get("include", []), SEALED]
    put_extra(body, wanted, own=own, losses=losses)


def _effort(request: Request, wanted: Reasoning, losses: Losses) -> Effort | None:
    if wanted.mode == "off":
        return "none"
    if wanted.effort is not None:
        if wanted.budget_tokens is not None:
            losses.drop(request.where("budget_tokens"))
        return wanted.effort
    return effort_of(wanted.budget_tokens) if wanted.budget_tokens is not None else None


def _format(form: Format, *, own: bool, losses: Losses) -> dict[str, Any]:
    if form.kind == "json":
        written: dict[str, Any] = {"type": "json_object"}
    else:
        schema = {"name": form.name, "description": form.description, "schema": form.schema, "strict": form.strict}
        if form.name is None and not own:
            schema["name"] = "response"  # demanded here, and said nowhere else
        if form.schema is None and not own:
            schema["schema"] = {"type": "object"}  # demanded as well
        written = {"type": "json_schema"} | {name: value for name, value in schema.items() if value is not None}
    put_extra(written, form, own=own, losses=losses)
    return written


def _put_knobs(body: dict[str, Any], request: Request, *, own: bool, losses: Losses) -> None:
    if not own:
        # Elsewhere nothing is kept at the provider, so nothing is here.
        body["store"] = False
    for name, value in request.knobs.items():
        if name in (*TEXT_KNOBS, *OBJECT_KNOBS) and name != "service_tier":
            body[name] = value if own or name != "user" else shortened(value, MAX_USER)
        elif name == "store":
            body["store"] = value
        elif name == "verbosity":
            body.setdefault("text", {})["verbosity"] = value
        elif name == "service_tier":
            tier = value if own or value in TIERS else _TIERS_ELSEWHERE.get(str(value))
            if tier is None:
                losses.drop(request.where(name))
            else:
                body[name] = tier
        else:
            losses.drop(request.where(name))
