"""A Converse request, encoded from the neutral vocabulary.

Source: the shapes `ConverseRequest` and `InferenceConfiguration`; the fields of models below
`additionalModelRequestFields` are those of their makers' pages in the user guide. Begin reading at `encode_request`.
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.claude_models import ThinkingPlan, encode_sampling, is_claude, plan_thinking
from llmproxy.dialects.claude_thinking import own_thinking
from llmproxy.dialects.closed_schemas import closed_at
from llmproxy.dialects.converse.cache_points import POINT, point_of, put_points
from llmproxy.dialects.converse.model_rules import fit_request
from llmproxy.dialects.converse.models import Family, effort_fields, family_of
from llmproxy.dialects.converse.request_messages import encode_messages, encode_system
from llmproxy.dialects.converse.tables import FIELD_PATHS, LACKING, REQUEST_TIERS, STOP_SEQUENCE_PATH
from llmproxy.dialects.converse.tools import ALONE, CHOICE_FIELD, put_tools
from llmproxy.dialects.efforts import encode_effort
from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.model import Format, Request
from llmproxy.dialects.shared_request import share
from llmproxy.wire.json import write_value

FIELDS = "additionalModelRequestFields"
"""What only one maker's models understand."""
_NAMES = {"temperature": "temperature", "top_p": "topP", "top_k": "top_k"}


def encode_request(request: Request, context: EncodeContext) -> dict[str, Any]:
    """Return the body for a provider. Raises BadRequest for what cannot be carried."""
    request = share(request, context)
    request = request if context.own else fit_request(request, context)
    family = family_of(request.model)
    body: dict[str, Any] = {"messages": encode_messages(request.messages, family, context)}
    system = encode_system(request.system, family, context)
    if system:
        body["system"] = system
    put_tools(body, request, family, context)
    fields: dict[str, Any] = {}
    plan = _own_plan(request, fields) if context.own else _plan(request, family, fields, context)
    config = _encode_config(request, plan, context)
    _put_top_k(fields, config, request, family, context)
    if config:
        body["inferenceConfig"] = config
    if plan.effort is not None:
        body["outputConfig"] = {"effort": plan.effort}
    if request.format is not None:
        _put_format(body, request.format, family, context)
    if request.parallel_tools is not None:
        _put_parallel(fields, request, request.parallel_tools, context, offered="toolConfig" in body)
    if fields:
        body[FIELDS] = fields
    _put_knobs(body, request, context)
    context.put_extra(body, request)
    if not context.own:
        _mark(body, request, family, context)
    return body


def _own_plan(request: Request, fields: dict[str, Any]) -> ThinkingPlan:
    """Return what a client of this dialect asks for, unchanged."""
    reasoning = request.reasoning
    thinking = own_thinking(reasoning)
    if thinking is not None:
        fields[reasoning.path.rpartition(".")[2]] = thinking | reasoning.extra
    return ThinkingPlan(0, effort=reasoning.effort)


def _plan(request: Request, family: Family, fields: dict[str, Any], context: EncodeContext) -> ThinkingPlan:
    """Return how a model is asked to think, and add that to its `fields`."""
    if is_claude(request.model):
        plan = plan_thinking(request, context)
        if plan.thinking is not None:
            fields["thinking"] = plan.thinking
    else:
        plan = ThinkingPlan(0)
        _put_effort(fields, request, family, context)
    context.drop_extra(request.reasoning)
    return plan


def _put_effort(fields: dict[str, Any], request: Request, family: Family, context: EncodeContext) -> None:
    reasoning = request.reasoning
    effort = encode_effort(request, context) or ("medium" if reasoning.mode is not None else None)
    if effort is not None and family.efforts:
        fields.update(effort_fields(family, effort))
    elif effort is not None:
        for name in ("mode", "effort", "budget_tokens"):
            if getattr(reasoning, name) is not None:
                context.drop(request.where(name) if name in request.paths else reasoning.path or "reasoning")
    if reasoning.summary is not None:
        context.drop(request.where("summary"))


def _encode_config(request: Request, plan: ThinkingPlan, context: EncodeContext) -> dict[str, Any]:
    """Return `inferenceConfig`, and `top_k` where it may be asked for. Without a limit the model's own counts, unless a
    budget of thinking must fit into it."""
    sampling = request.sampling
    config: dict[str, Any] = {}
    limit = sampling.max_tokens or context.options.default_max_tokens
    limit = plan.max_tokens if (plan.thinking or {}).get("type") == "enabled" else limit
    if limit is not None:
        config["maxTokens"] = limit
    knobs = _sampling(request, plan, context)
    config |= {_NAMES[name]: value for name, value in knobs.items() if value is not None}
    stop = [each for each in sampling.stop if context.own or each.strip()]
    if len(stop) < len(sampling.stop):
        context.drop(request.where("stop"))
    if stop:
        config["stopSequences"] = stop
    for name in LACKING:
        if getattr(sampling, name) is not None:
            context.drop(request.where(name))
    return config


def _sampling(request: Request, plan: ThinkingPlan, context: EncodeContext) -> dict[str, Any]:
    """Return the knobs as far as the model accepts them. A temperature ends at 1."""
    if is_claude(request.model) and not context.own:
        return encode_sampling(request, context, thinks=plan.thinks)
    knobs = {name: getattr(request.sampling, name) for name in _NAMES}
    if not context.own and (knobs["temperature"] or 0) > 1:
        context.drop(request.where("temperature"))
        del knobs["temperature"]
    return knobs


def _put_top_k(
    fields: dict[str, Any], config: dict[str, Any], request: Request, family: Family, context: EncodeContext
) -> None:
    """Move `top_k` to where the model's maker has it."""
    value = config.pop("top_k", None)
    if value is None:
        return
    path = ("top_k",) if context.own else family.top_k
    if not path:
        context.drop(request.where("top_k"))
        return
    holder = fields
    for name in path[:-1]:
        holder = holder.setdefault(name, {})
    holder[path[-1]] = value


def _put_format(body: dict[str, Any], form: Format, family: Family, context: EncodeContext) -> None:
    """Add `outputConfig.textFormat`, whose answers always keep to the schema."""
    if form.kind == "json" or form.schema is None or not (family.strict or context.own):
        context.drop(form.path)
        context.drop_extra(form)
        return
    schema = form.schema if context.own else closed_at(form.schema, form.path)
    definition: dict[str, Any] = {"schema": write_value(schema).decode()}
    for name, value in (("name", form.name), ("description", form.description)):
        if value is not None:
            definition[name] = value
    members: dict[str, Any] = {"type": "json_schema", "structure": {"jsonSchema": definition}}
    context.put_extra(members, form)
    body.setdefault("outputConfig", {})["textFormat"] = members


def _put_parallel(
    fields: dict[str, Any], request: Request, parallel: bool, context: EncodeContext, *, offered: bool
) -> None:
    """Add Claude's own choice, the only place where converse says that calls come one at a time."""
    if context.own:
        fields[CHOICE_FIELD] = {ALONE: not parallel}
    elif offered and is_claude(request.model) and not parallel:
        fields[CHOICE_FIELD] = {"type": "auto", ALONE: True}
        choice = request.tool_choice
        if choice is not None and choice.mode in ("required", "tool"):
            named = choice.mode == "tool" and choice.name is not None
            fields[CHOICE_FIELD] |= {"type": "tool", "name": choice.name} if named else {"type": "any"}
    elif not parallel:
        context.drop(request.where("parallel_tools"))


def _put_knobs(body: dict[str, Any], request: Request, context: EncodeContext) -> None:
    for name, value in request.knobs.items():
        if name == "service_tier":
            word = value if context.own else REQUEST_TIERS.get(value)
            if word is None:
                context.drop(request.where(name))
            else:
                body["serviceTier"] = {"type": word}
        elif name != "store" or value:  # nothing is stored here anyway
            context.drop(request.where(name))


def _mark(body: dict[str, Any], request: Request, family: Family, context: EncodeContext) -> None:
    """Add cache points, and ask a Claude which sequence stopped it."""
    if not family.caches:
        context.drop_cache(request)
    else:
        last = body["messages"][-1]["content"] if body["messages"] else []
        if request.cache is not None and last and POINT not in last[-1]:
            last.append(point_of(request, context))
        put_points(body, context)
    if request.sampling.stop and is_claude(request.model):
        body[FIELD_PATHS] = [STOP_SEQUENCE_PATH]
