"""Writing a chat request from the neutral vocabulary.

What the client sent in this dialect goes back as it stood; of other dialects, each member is carried, listed as
dropped, or refused. Begin reading at `encode_request`.
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.chat.extras import put_cache, put_extra
from llmproxy.dialects.chat.request_messages_encode import write_instructions, write_message
from llmproxy.dialects.chat.tools import WEB_SEARCH, write_choice, write_tool
from llmproxy.dialects.codec import Losses, Options, refuse_unshared
from llmproxy.dialects.efforts import effort_of
from llmproxy.dialects.model import Effort, Format, Opaque, Reasoning, Request
from llmproxy.dialects.name_limits import MAX_USER, shortened

KNOBS = (
    "user",
    "safety_identifier",
    "verbosity",
    "prompt_cache_key",
    "prompt_cache_retention",
    "metadata",
    "prompt_cache_options",
    "moderation",
)
TIERS = ("auto", "default", "flex", "scale", "priority", "fast")
_TIERS_ELSEWHERE = {"standard_only": "default", "standard": "default"}
_CACHE_OPTIONS = {"mode": ("implicit", "explicit"), "ttl": ("30m",)}
_NUMBERS = ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs")


def encode_request(request: Request, options: Options, losses: Losses) -> dict[str, Any]:
    """The body for a provider. A stream is always asked for its usage. Raises BadRequest for what cannot be carried."""
    own = request.dialect == "chat"
    if not own:
        refuse_unshared(request, losses)
    body: dict[str, Any] = {"model": request.model}
    messages = write_instructions(request.system, own=own, developer=options.developer, losses=losses)
    for message in request.messages:
        messages += write_message(message, own=own, developer=options.developer, losses=losses)
    body["messages"] = messages
    _put_tools(body, request, own=own, losses=losses)
    _put_sampling(body, request, options, own=own, losses=losses)
    effort = _effort(request, request.reasoning, losses)
    if effort is not None:
        body["reasoning_effort"] = effort
    put_extra(body, request.reasoning, own=own, losses=losses)
    if request.format is not None:
        body["response_format"] = _format(request.format, own=own, losses=losses)
    _put_knobs(body, request, own=own, losses=losses)
    put_cache(body, request, own=own, losses=losses)
    if request.stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    put_extra(body, request, own=own, losses=losses)
    return body


def _put_tools(body: dict[str, Any], request: Request, *, own: bool, losses: Losses) -> None:
    tools = []
    for tool in request.tools:
        if isinstance(tool, Opaque) and tool.dialect == "chat" and tool.kind == WEB_SEARCH:
            body[WEB_SEARCH] = tool.value
        else:
            tools.append(write_tool(tool, own=own, losses=losses))
    if tools:
        body["tools"] = tools
    if request.tool_choice is not None:
        body["tool_choice"] = write_choice(request.tool_choice, request.tools, own=own, losses=losses)
    if request.parallel_tools is None:
        return
    if tools or own:
        body["parallel_tool_calls"] = request.parallel_tools
    else:
        losses.drop(request.where("parallel_tools"))  # OpenAI refuses it without tools


def _put_sampling(body: dict[str, Any], request: Request, options: Options, *, own: bool, losses: Losses) -> None:
    sampling = request.sampling
    if sampling.max_tokens is not None:
        body[request.where("max_tokens") if own else options.max_tokens_name] = sampling.max_tokens
    for name in _NUMBERS:
        value = getattr(sampling, name)
        if value is not None:
            body[name] = value
    if sampling.top_logprobs is not None:
        body["top_logprobs"] = sampling.top_logprobs
        body.setdefault("logprobs", True)
    if sampling.stop:
        body["stop"] = sampling.stop
    if sampling.top_k is not None:
        if own:
            body["top_k"] = sampling.top_k
        else:
            losses.drop(request.where("top_k"))
    put_extra(body, sampling, own=own, losses=losses)


def _effort(request: Request, wanted: Reasoning, losses: Losses) -> Effort | None:
    """The effort that says what `wanted` does. That a model adapts its thinking is what chat models do unasked, but
    cannot be said."""
    if wanted.summary is not None:
        losses.drop(request.where("summary"))
    if wanted.mode == "off":
        return "none"
    if wanted.effort is not None:
        if wanted.budget_tokens is not None:
            losses.drop(request.where("budget_tokens"))
        return wanted.effort
    if wanted.budget_tokens is not None:
        return effort_of(wanted.budget_tokens)
    if wanted.mode is not None:
        losses.drop(request.where("mode") if "mode" in request.paths else wanted.path or "reasoning")
    return None


def _format(form: Format, *, own: bool, losses: Losses) -> dict[str, Any]:
    if form.kind == "json":
        written: dict[str, Any] = {"type": "json_object"}
    else:
        schema = {"name": form.name, "description": form.description, "schema": form.schema, "strict": form.strict}
        if form.name is None and not own:
            schema["name"] = "response"  # demanded here, and said nowhere else
        written = {"type": "json_schema", "json_schema": {name: v for name, v in schema.items() if v is not None}}
    put_extra(written, form, own=own, losses=losses)
    return written


def _put_knobs(body: dict[str, Any], request: Request, *, own: bool, losses: Losses) -> None:
    for name, value in request.knobs.items():
        if name == "prompt_cache_options" and not own:
            _put_cache_options(body, value, request.where(name), losses)
        elif name in KNOBS:
            body[name] = value if own or name != "user" else shortened(value, MAX_USER)
        elif name == "service_tier":
            tier = value if own or value in TIERS else _TIERS_ELSEWHERE.get(str(value))
            if tier is None:
                losses.drop(request.where(name))
            else:
                body[name] = tier
        elif name == "store":
            if own or value:  # elsewhere, false says what is so here by default
                body[name] = value
        else:
            losses.drop(request.where(name))


def _put_cache_options(body: dict[str, Any], options: dict[str, Any], path: str, losses: Losses) -> None:
    """`prompt_cache_options`, which other APIs know more of."""
    known = {name: value for name, value in options.items() if value in _CACHE_OPTIONS.get(name, ())}
    for name in options:
        if name not in known:
            losses.drop(f"{path}.{name}")
    if known:
        body["prompt_cache_options"] = known
