"""A messages request, encoded from the neutral vocabulary.

Source: the SDK's `message_create_params`, and docs.anthropic.com/en/api/messages for what the types leave out. Begin
reading at `encode_request`.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from llmproxy.dialects.claude_models import ThinkingPlan, default_limit, encode_sampling, plan_thinking
from llmproxy.dialects.claude_rules import fit_claude_request
from llmproxy.dialects.claude_thinking import own_thinking
from llmproxy.dialects.closed_schemas import closed_at
from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.messages.cache_marks import put_marks
from llmproxy.dialects.messages.request_messages import encode_messages, encode_system
from llmproxy.dialects.messages.tables import LACKING, REQUEST_TIERS, USERS
from llmproxy.dialects.messages.tools import put_tools
from llmproxy.dialects.model import Format, Request
from llmproxy.dialects.request_fields import put_tier
from llmproxy.dialects.shared_request import share

_LACKED, _NONE = attrgetter(*LACKING), (None,) * len(LACKING)


def encode_request(request: Request, context: EncodeContext) -> dict[str, Any]:
    """Return the body for a provider. Raises BadRequest for what cannot be carried."""
    request = share(request, context)
    request = request if context.own else fit_claude_request(request, context)
    plan = _own_plan(request, context) if context.own else plan_thinking(request, context)
    body: dict[str, Any] = {"model": request.model, "max_tokens": plan.max_tokens}
    system = encode_system(request.system, context)
    if system is not None:
        body["system"] = system
    body["messages"] = encode_messages(request.messages, context)
    put_tools(body, request, context)
    _put_thinking(body, request, plan, context)
    _put_sampling(body, request, plan, context)
    if request.format is not None:
        _put_format(body, request.format, context)
    _put_knobs(body, request, context)
    if request.cache is not None:
        body["cache_control"] = request.cache
    if request.stream:
        body["stream"] = True
    context.put_extra(body, request)
    if not context.own:
        put_marks(body, context)
    return body


def _own_plan(request: Request, context: EncodeContext) -> ThinkingPlan:
    """Return what a client of this dialect asks for, unchanged."""
    reasoning, limit = request.reasoning, request.sampling.max_tokens
    limit = default_limit(request.model, context) if limit is None else limit
    return ThinkingPlan(limit, thinking=own_thinking(reasoning), effort=reasoning.effort)


def _put_thinking(body: dict[str, Any], request: Request, plan: ThinkingPlan, context: EncodeContext) -> None:
    if plan.thinking is not None:
        body["thinking"] = plan.thinking
    context.put_extra(body.get("thinking", {}), request.reasoning)
    if plan.effort is not None:
        body["output_config"] = {"effort": plan.effort}


def _put_sampling(body: dict[str, Any], request: Request, plan: ThinkingPlan, context: EncodeContext) -> None:
    sampling = request.sampling
    body |= encode_sampling(request, context, thinks=plan.thinks)
    stop = [each for each in sampling.stop if context.own or each.strip()]  # the vendor refuses white space alone
    if len(stop) < len(sampling.stop):
        context.drop(request.where("stop"))
    if stop:
        body["stop_sequences"] = stop
    if _LACKED(sampling) != _NONE:
        for name in LACKING:
            if getattr(sampling, name) is not None:
                context.drop(request.where(name))
    context.put_extra(body, sampling)


def _put_format(body: dict[str, Any], form: Format, context: EncodeContext) -> None:
    """Add `output_config.format`. Its answers always keep to the schema, and it has no name; its description stands in
    the schema."""
    if form.kind == "json" or form.schema is None:
        context.drop(form.path)
        context.drop_extra(form)
        return
    schema = form.schema if context.own else closed_at(form.schema, form.path)
    if form.description is not None:
        schema = {"description": form.description, **schema}
    members: dict[str, Any] = {"type": "json_schema", "schema": schema}
    context.put_extra(members, form)
    if context.own and form.path == "output_format":
        body["output_format"] = members
    else:
        body.setdefault("output_config", {})["format"] = members


def _put_knobs(body: dict[str, Any], request: Request, context: EncodeContext) -> None:
    _put_user(body, request, context)
    for name, value in request.knobs.items():
        if name == "service_tier":
            put_tier(body, value, REQUEST_TIERS, request.where(name), context)
        elif name not in (*USERS, "metadata") and (name != "store" or value):  # nothing is stored here anyway
            context.drop(request.where(name))


def _put_user(body: dict[str, Any], request: Request, context: EncodeContext) -> None:
    """Add `metadata.user_id`, the only metadata there is."""
    metadata = dict(request.knobs.get("metadata") or {})
    users = {name: request.knobs[name] for name in USERS if name in request.knobs}
    if "user_id" in metadata:
        users["metadata"] = metadata.pop("user_id")
    for name, value in users.items():
        if body.setdefault("metadata", {"user_id": value})["user_id"] != value:
            context.drop(request.where(name))
    if metadata:
        context.drop(request.where("metadata"))
