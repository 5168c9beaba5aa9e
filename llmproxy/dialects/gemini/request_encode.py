"""A generateContent request, encoded from the neutral vocabulary. Begin reading at `encode_request`."""

from __future__ import annotations

from typing import Any

import msgspec

from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.extra import put_back
from llmproxy.dialects.gemini.models import family_of
from llmproxy.dialects.gemini.request_contents import encode_contents, encode_system
from llmproxy.dialects.gemini.request_decode import JSON_TYPE
from llmproxy.dialects.gemini.tables import REQUEST_TIERS, SAMPLING
from llmproxy.dialects.gemini.thinking import own_thinking_config, plan_thinking_config
from llmproxy.dialects.gemini.tools import put_tools
from llmproxy.dialects.model import Format, Request
from llmproxy.dialects.request_fields import put_tier
from llmproxy.dialects.shared_request import share
from llmproxy.dialects.system_turns import as_user_turns, has_system_turns

_CONFIG = "generationConfig"


def fit_request(request: Request, context: EncodeContext) -> Request:
    """Return the request as its model accepts it: no content has the role of the system."""
    if has_system_turns(request.messages):
        messages = as_user_turns(request.messages, request.model or "the model", context, some=False)
        return msgspec.structs.replace(request, messages=messages)
    return request


def encode_request(request: Request, context: EncodeContext) -> dict[str, Any]:
    """Return the body for a provider. Raises BadRequest for what cannot be carried."""
    request = share(request, context)
    request = request if context.own else fit_request(request, context)
    family = family_of(request.model)
    body: dict[str, Any] = {}
    system = encode_system(request, context)
    if system is not None:
        body["systemInstruction"] = system
    body["contents"] = encode_contents(request.messages, family, context)
    put_tools(body, request, context)
    config = _encode_sampling(request, context)
    thinking = own_thinking_config(request.reasoning) if context.own else plan_thinking_config(request, family, context)
    context.put_extra(thinking, request.reasoning)
    if thinking or (context.own and request.reasoning.path):
        config["thinkingConfig"] = thinking
    if request.format is not None:
        _put_format(config, request.format, context)
    if config:
        body[_CONFIG] = config
    _put_knobs(body, request, context)
    context.drop_cache(request)
    if context.own:
        put_back(body, {name: value for name, value in request.extra.items() if name != "~systemInstruction"})
    else:
        context.drop_extra(request)
    return body


def _encode_sampling(request: Request, context: EncodeContext) -> dict[str, Any]:
    sampling = request.sampling
    config: dict[str, Any] = {}
    for name, member in SAMPLING.items():
        value = getattr(sampling, name)
        if value is not None:
            config[member] = value
    stop = sampling.stop if context.own else [each for each in sampling.stop if each]
    if stop:
        config["stopSequences"] = stop
    if sampling.logit_bias is not None:
        context.drop(request.where("logit_bias"))
    context.put_extra(config, sampling)
    return config


def _put_format(config: dict[str, Any], form: Format, context: EncodeContext) -> None:
    """Add the form of the answer. It has no name; its description stands in the schema."""
    if context.own and "~responseFormat" in form.extra:
        config["responseFormat"] = form.extra["~responseFormat"]
        return
    config["responseMimeType"] = JSON_TYPE
    schema = form.schema
    if schema is not None and not (context.own and "~responseSchema" in form.extra):
        if form.description is not None:
            schema = {"description": form.description, **schema}
        config["responseJsonSchema"] = schema
    elif form.description is not None:
        context.drop(form.path)
    context.put_extra(config, form)


def _put_knobs(body: dict[str, Any], request: Request, context: EncodeContext) -> None:
    for name, value in request.knobs.items():
        if name == "service_tier" and context.own:
            body["serviceTier"] = REQUEST_TIERS.get(value, value)
        elif name == "service_tier":
            put_tier(body, value, REQUEST_TIERS, request.where(name), context, member="serviceTier")
        elif context.own:
            body["labels" if name == "metadata" else name] = value
        elif name != "store" or value:  # nothing is stored unless asked for
            context.drop(request.where(name))
