"""A request, decoded into the neutral vocabulary.

Source: the SDK's `response_create_params`. Each member is carried by name, by meaning, or kept in `extra`. What answers
repeat of their request is kept in `echo`. Begin reading at `decode_request`.
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.efforts import EFFORTS
from llmproxy.dialects.extra import Inner, nested_extra
from llmproxy.dialects.members import Members
from llmproxy.dialects.model import Instruction, Message, Opaque, Reasoning, Request, Sampling, Text, ToolChoice
from llmproxy.dialects.openai_models import ENCRYPTED_REASONING
from llmproxy.dialects.request_fields import decode_format, decode_knobs, decode_strings
from llmproxy.dialects.responses.compaction import compacts
from llmproxy.dialects.responses.request_messages import decode_input
from llmproxy.dialects.responses.tables import (
    ECHOED,
    LOGPROBS,
    OBJECT_KNOBS,
    SUMMARIES,
    TEXT_KNOBS,
)
from llmproxy.dialects.responses.tools import decode_choice, decode_tools


def decode_request(body: dict[str, Any]) -> Request:
    """Return a request, from the decoded JSON object. Raises BadRequest with the JSON path of what is wrong."""
    members = Members(body)
    model = members.needed_text("model")
    paths = {
        "parallel_tools": "parallel_tool_calls",
        "max_tokens": "max_output_tokens",
        "format": "text.format",
        "logprobs": "include",
    }
    system = _decode_instructions(members)
    prompt, value = members.object("prompt"), members.any("input")
    if value is None and prompt is None:
        members.missing("input")
    decoder = decode_input([] if value is None else value)
    if prompt is not None:
        block = Opaque(path="prompt", dialect="responses", kind="prompt", value=prompt)
        decoder.messages.insert(0, Message(path="prompt", role="user", content=[block]))
    defaults = _take_defaults(members)
    text, reasoning = members.inner("text"), members.inner("reasoning")
    form = None if text is None else text.inner("format")
    request = Request(
        dialect="responses",
        model=model,
        system=[*system, *decoder.system],
        messages=decoder.messages,
        tools=decode_tools(members),
        found_tools=decoder.tools,
        tool_choice=decode_choice(members),
        parallel_tools=members.flag("parallel_tool_calls"),
        sampling=_decode_sampling(members),
        reasoning=Reasoning() if reasoning is None else _decode_reasoning(reasoning, paths),
        format=None if form is None else decode_format(form, None),
        knobs=decode_knobs(members, TEXT_KNOBS, OBJECT_KNOBS),
        stream=members.flag("stream") or False,
        paths=paths,
        echo={name: body[name] for name in ECHOED if body.get(name) is not None},
    )
    verbosity = None if text is None else text.text("verbosity")
    if verbosity is not None:
        request.knobs["verbosity"], paths["verbosity"] = verbosity, "text.verbosity"
    for update in decoder.updates:
        _update(request, update)
    if compacts(request):
        request.tool_choice = ToolChoice(mode="none")
    request.extra = nested_extra(members, text, reasoning, members.inner("stream_options")) | defaults
    return request


def _update(request: Request, update: Members) -> None:
    """Apply an item that changes settings from its place on: the SDK's `response_configuration_update_item_param`."""
    reasoning, text = update.inner("reasoning"), update.inner("text")
    effort = None if reasoning is None else reasoning.word("effort", EFFORTS)
    if effort is not None:
        request.reasoning.effort, request.reasoning.mode = effort, "off" if effort == "none" else None
        request.paths["effort"] = request.paths["mode"] = f"{update.path}.reasoning.effort"
    form = None if text is None else text.inner("format")
    if form is not None:
        request.format = None if form.rest.get("type") == "text" else decode_format(form, None)


def _decode_instructions(members: Members) -> list[Instruction]:
    instructions = members.text("instructions")
    if not instructions:
        return []
    return [Instruction(path="instructions", content=[Text(path="instructions", text=instructions)])]


def _take_defaults(members: Members) -> dict[str, Any]:
    """Take out values that are the defaults: they are put back here and are no loss in other dialects."""
    defaults: dict[str, Any] = {}
    for name, default in (("background", False), ("truncation", "disabled")):
        if members.rest.get(name) == default:
            defaults[f"~{name}"] = members.any(name)
    text = members.rest.get("text")
    if isinstance(text, dict) and text.get("format") == {"type": "text"}:
        defaults["~text"] = Inner(format=text["format"])
    include = members.rest.get("include")
    if isinstance(include, list) and include:
        defaults["~include"] = include
    return defaults


def _decode_sampling(members: Members) -> Sampling:
    include = decode_strings(members.items("include") or [], "include")
    others = [each for each in include if each not in (LOGPROBS, ENCRYPTED_REASONING)]
    if others:
        members.rest["include"] = others
    return Sampling(
        max_tokens=members.whole("max_output_tokens"),
        temperature=members.number("temperature"),
        top_p=members.number("top_p"),
        logprobs=True if LOGPROBS in include else None,
        top_logprobs=members.whole("top_logprobs"),
    )


def _decode_reasoning(reasoning: Members, paths: dict[str, str]) -> Reasoning:
    effort = reasoning.word("effort", EFFORTS)
    summary = reasoning.word("summary", SUMMARIES)
    paths |= {"effort": "reasoning.effort", "mode": "reasoning.effort", "summary": "reasoning.summary"}
    older = None
    if summary is None:
        older = reasoning.word("generate_summary", SUMMARIES)
        paths["summary"] = "reasoning.summary" if older is None else "reasoning.generate_summary"
    decoded = Reasoning(path="reasoning", effort=effort, summary=summary or older)
    decoded.mode = "off" if effort == "none" else None
    return decoded
