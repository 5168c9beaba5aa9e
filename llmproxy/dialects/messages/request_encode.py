"""Writing a messages request from the neutral vocabulary.

Source: the SDK's `message_create_params`, and docs.anthropic.com/en/api/messages for what the types do not say. Begin
reading at `encode_request`.
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.codec import Losses, Options, refuse_unshared
from llmproxy.dialects.messages.extras import put_extra
from llmproxy.dialects.messages.models import Plan, plan, sampled
from llmproxy.dialects.messages.request_decode import DISPLAYS
from llmproxy.dialects.messages.request_messages import Turns
from llmproxy.dialects.messages.schemas import closed_at
from llmproxy.dialects.messages.tools import put_tools
from llmproxy.dialects.model import Format, Request

_TYPES = {"on": "enabled", "adaptive": "adaptive", "off": "disabled"}
_SUMMARIES = {summary: display for display, summary in DISPLAYS.items()}
_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
_LACKING = ("seed", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs")
# Each names the end user; of several the first counts.
_USERS = ("user", "safety_identifier")


def encode_request(request: Request, options: Options, losses: Losses) -> dict[str, Any]:
    """The body for a provider. Raises BadRequest for what cannot be carried."""
    own = request.dialect == "messages"
    if not own:
        refuse_unshared(request, losses)
    planned = _own_plan(request, options) if own else plan(request, options.default_max_tokens, losses)
    turns = Turns(own=own, losses=losses)
    body: dict[str, Any] = {"model": request.model, "max_tokens": planned.max_tokens}
    system = turns.system(request.system)
    if system is not None:
        body["system"] = system
    body["messages"] = turns.messages(request.messages)
    put_tools(body, request, own=own, losses=losses)
    _put_sampling(body, request, planned, own=own, losses=losses)
    _put_format(body, request.format, own=own, losses=losses)
    _put_knobs(body, request, own=own, losses=losses)
    if request.cache is not None:
        body["cache_control"] = request.cache
    if request.stream:
        body["stream"] = True
    put_extra(body, request, own=own, losses=losses)
    return body


def _own_plan(request: Request, options: Options) -> Plan:
    """What a client of this dialect asked for, as it did."""
    wanted, limit = request.reasoning, request.sampling.max_tokens
    own = Plan(options.default_max_tokens if limit is None else limit, effort=wanted.effort)
    if wanted.mode is not None:
        own.thinking = {"type": _TYPES[wanted.mode]}
        if wanted.budget_tokens is not None:
            own.thinking["budget_tokens"] = wanted.budget_tokens
        if wanted.summary is not None:
            own.thinking["display"] = _SUMMARIES.get(wanted.summary, "summarized")
    return own


def _put_sampling(body: dict[str, Any], request: Request, planned: Plan, *, own: bool, losses: Losses) -> None:
    sampling = request.sampling
    if planned.thinking is not None:
        body["thinking"] = planned.thinking
    put_extra(body.get("thinking", {}), request.reasoning, own=own, losses=losses)
    if planned.effort is not None:
        body["output_config"] = {"effort": planned.effort}
    if own:
        known = {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k}
        body |= {name: value for name, value in known.items() if value is not None}
    else:
        body |= sampled(request, thinks=planned.thinks, losses=losses)
    stop = [each for each in sampling.stop if own or each.strip()]  # the vendor refuses white space alone
    if len(stop) < len(sampling.stop):
        losses.drop(request.where("stop"))
    if stop:
        body["stop_sequences"] = stop
    for name in _LACKING:
        if getattr(sampling, name) is not None:
            losses.drop(request.where(name))
    put_extra(body, sampling, own=own, losses=losses)


def _put_format(body: dict[str, Any], form: Format | None, *, own: bool, losses: Losses) -> None:
    """`output_config.format`. Its answers always keep to the schema, and it has no name; its description stands in the
    schema."""
    if form is None:
        return
    if form.kind == "json" or form.schema is None:
        losses.drop(form.path)
        put_extra({}, form, own=own, losses=losses)
        return
    schema = form.schema if own else closed_at(form.schema, form.path)
    if form.description is not None:
        schema = {"description": form.description, **schema}
    written: dict[str, Any] = {"type": "json_schema", "schema": schema}
    put_extra(written, form, own=own, losses=losses)
    if own and form.path == "output_format":
        body["output_format"] = written
    else:
        body.setdefault("output_config", {})["format"] = written


def _put_knobs(body: dict[str, Any], request: Request, *, own: bool, losses: Losses) -> None:
    _put_user(body, request, losses)
    for name, value in request.knobs.items():
        if name == "service_tier":
            tier = value if own else _TIERS.get(value)
            if tier is None:
                losses.drop(request.where(name))
            else:
                body[name] = tier
        elif name not in (*_USERS, "metadata") and (name != "store" or value):  # what is not to be stored is not
            losses.drop(request.where(name))


def _put_user(body: dict[str, Any], request: Request, losses: Losses) -> None:
    """`metadata.user_id`, which is all that metadata can be."""
    metadata = dict(request.knobs.get("metadata") or {})
    users = {name: request.knobs[name] for name in _USERS if name in request.knobs}
    if "user_id" in metadata:
        users["metadata"] = metadata.pop("user_id")
    for name, value in users.items():
        if body.setdefault("metadata", {"user_id": value})["user_id"] != value:
            losses.drop(request.where(name))
    if metadata:
        losses.drop(request.where("metadata"))
