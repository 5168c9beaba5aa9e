"""Reading a chat request into the neutral vocabulary.

Source: the SDK's `completion_create_params`. Each member is carried by name, by meaning, or kept in `extra`. Begin
reading at `decode_request`.
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.chat.extras import nested_extra
from llmproxy.dialects.chat.request_messages import Turns
from llmproxy.dialects.chat.tools import read_choice, read_tools
from llmproxy.dialects.members import Members, name_of, wrong
from llmproxy.dialects.model import Effort, Format, Reasoning, Request, Sampling

LEGACY = "functions"
"""The name in `Request.echo` that says that the client knows `function_call` and no `tool_calls`."""

TEXT_KNOBS = (
    "user",
    "safety_identifier",
    "service_tier",
    "verbosity",
    "prompt_cache_key",
    "prompt_cache_retention",
)
OBJECT_KNOBS = ("metadata", "prompt_cache_options", "moderation")

_EFFORTS: tuple[Effort, ...] = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_LIMITS = ("max_completion_tokens", "max_tokens")


def decode_request(body: dict[str, Any]) -> Request:
    """A request, from the decoded JSON object. Raises BadRequest with the JSON path of what is wrong."""
    members = Members(body)
    paths: dict[str, str] = {"parallel_tools": "parallel_tool_calls", "format": "response_format"}
    model = members.needed_text("model")
    turns = Turns()
    messages = members.items("messages")
    if messages is None:
        members.missing("messages")
    for index, message in enumerate(messages):
        if not turns.read_plain(message, index):
            turns.read(Members(message, f"messages[{index}]"))
    legacy = members.rest.get("functions") is not None
    options = members.inner("stream_options")
    request = Request(
        dialect="chat",
        model=model,
        system=turns.system,
        messages=turns.messages,
        tools=read_tools(members),
        tool_choice=read_choice(members, paths),
        parallel_tools=members.flag("parallel_tool_calls"),
        sampling=_sampling(members, paths),
        reasoning=_reasoning(members, paths),
        format=_format(members),
        knobs=_knobs(members),
        cache=members.any("cache_control"),
        stream=members.flag("stream") or False,
        include_usage=options is not None and options.flag("include_usage") is True,
        paths=paths,
    )
    if legacy:
        # Such a client knows one call a turn, and finds it elsewhere in the answer.
        request.echo[LEGACY] = True
        if request.parallel_tools is None:
            request.parallel_tools, paths["parallel_tools"] = False, "functions"
    if members.whole("n") not in (None, 1):
        members.rest["n"] = body["n"]
    request.extra = nested_extra(members, *([options] if options else []))
    return request


def _sampling(members: Members, paths: dict[str, str]) -> Sampling:
    limits = {name: limit for name in _LIMITS if (limit := members.whole(name)) is not None}
    extra: dict[str, Any] = {}
    if limits:
        paths["max_tokens"] = next(iter(limits))
        extra = dict(list(limits.items())[1:])
    sampling = Sampling(
        max_tokens=limits.get(paths.get("max_tokens", "")),
        temperature=members.number("temperature"),
        top_p=members.number("top_p"),
        top_k=members.whole("top_k"),
        stop=_stop(members),
        seed=members.whole("seed"),
        presence_penalty=members.number("presence_penalty"),
        frequency_penalty=members.number("frequency_penalty"),
        logit_bias=members.object("logit_bias"),
        logprobs=members.flag("logprobs"),
        top_logprobs=members.whole("top_logprobs"),
    )
    members.rest.update(extra)  # of two limits the newer counts
    return sampling


def _stop(members: Members) -> list[str]:
    value = members.any("stop")
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        wrong("stop", f"must be a string or an array, not {name_of(value)}")
    for index, each in enumerate(value):
        if not isinstance(each, str):
            wrong(f"stop[{index}]", f"must be a string, not {name_of(each)}")
    return value


def _reasoning(members: Members, paths: dict[str, str]) -> Reasoning:
    effort = members.word("reasoning_effort", _EFFORTS)
    if effort is None:
        return Reasoning()
    paths["effort"] = paths["mode"] = "reasoning_effort"
    return Reasoning(path="reasoning_effort", effort=effort, mode="off" if effort == "none" else None)


def _format(members: Members) -> Format | None:
    form = members.inner("response_format")
    if form is None:
        return None
    kind = form.word("type", ("text", "json_object", "json_schema")) or form.missing("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return Format(path=form.path, kind="json", extra=form.left())
    schema = Members(form.any("json_schema"), form.at("json_schema"))
    return Format(
        path=form.path,
        kind="schema",
        name=schema.text("name"),
        description=schema.text("description"),
        schema=schema.object("schema"),
        strict=schema.flag("strict"),
        extra=nested_extra(form, schema),
    )


def _knobs(members: Members) -> dict[str, Any]:
    knobs: dict[str, Any] = {name: members.text(name) for name in TEXT_KNOBS}
    knobs |= {name: members.object(name) for name in OBJECT_KNOBS}
    knobs["store"] = members.flag("store")
    return {name: value for name, value in knobs.items() if value is not None}
