"""Reading a request into the neutral vocabulary.

Source: the SDK's `response_create_params`. Each member is carried by name, by meaning, or kept in `extra`. What replies
repeat of their request is kept in `echo`. Begin reading at `decode_request`.
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.members import Members, wrong
from llmproxy.dialects.model import Effort, Format, Instruction, Message, Opaque, Reasoning, Request, Sampling, Text
from llmproxy.dialects.responses.extras import nested_extra
from llmproxy.dialects.responses.request_messages import read_input
from llmproxy.dialects.responses.tools import read_choice, read_tools

LOGPROBS = "message.output_text.logprobs"
SEALED = "reasoning.encrypted_content"
"""Members of `include` that are understood elsewhere too."""
TEXT_KNOBS = ("user", "safety_identifier", "service_tier", "prompt_cache_key", "prompt_cache_retention")
OBJECT_KNOBS = ("metadata", "prompt_cache_options", "moderation")
ECHOED = (
    *("instructions", "max_output_tokens", "max_tool_calls", "metadata", "parallel_tool_calls", "previous_response_id"),
    *(
        "prompt_cache_key",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "store",
        "temperature",
        "text",
        "tool_choice",
    ),
    *("tools", "top_logprobs", "top_p", "truncation", "user"),
)
_EFFORTS: tuple[Effort, ...] = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_SUMMARIES = ("auto", "concise", "detailed")


def decode_request(body: dict[str, Any]) -> Request:
    """A request, from the decoded JSON object. Raises BadRequest with the JSON path of what is wrong."""
    members = Members(body)
    model = members.needed_text("model")
    paths = {
        "parallel_tools": "parallel_tool_calls",
        "max_tokens": "max_output_tokens",
        "format": "text.format",
        "logprobs": "include",
    }
    system = _instructions(members)
    prompt = members.object("prompt")
    given = members.any("input")
    if given is None and prompt is None:
        members.missing("input")
    turns = read_input("" if given is None else given)
    if prompt is not None:
        kept = Opaque(path="prompt", dialect="responses", kind="prompt", value=prompt)
        first = Message(path="prompt", role="user", content=[kept])
        turns.messages[:0] = [first]
        turns.messages = turns.messages[:1] if given is None else turns.messages
    unsaid = _unsaid(members)
    format_, form = _format(members)
    reasoning, thought = _reasoning(members, paths)
    request = Request(
        dialect="responses",
        model=model,
        system=[*system, *turns.system],
        messages=turns.messages,
        tools=read_tools(members),
        tool_choice=read_choice(members),
        parallel_tools=members.flag("parallel_tool_calls"),
        sampling=_sampling(members),
        reasoning=reasoning,
        format=format_,
        knobs=_knobs(members),
        stream=members.flag("stream") or False,
        paths=paths,
        echo={name: body[name] for name in ECHOED if body.get(name) is not None},
    )
    if form is not None:
        verbosity = form.text("verbosity")
        if verbosity is not None:
            request.knobs["verbosity"], paths["verbosity"] = verbosity, "text.verbosity"
    inner = [each for each in (form, thought, members.inner("stream_options")) if each is not None]
    request.extra = nested_extra(members, *inner) | unsaid
    return request


def _instructions(members: Members) -> list[Instruction]:
    instructions = members.text("instructions")
    if not instructions:
        return []
    return [Instruction(path="instructions", content=[Text(path="instructions", text=instructions)])]


def _unsaid(members: Members) -> dict[str, Any]:
    """Take out what says no more than silence does: it is put back here and is no loss elsewhere."""
    unsaid: dict[str, Any] = {}
    for name, default in (("background", False), ("truncation", "disabled")):
        if members.rest.get(name) == default:
            unsaid[f"~{name}"] = members.any(name)
    text = members.rest.get("text")
    if isinstance(text, dict) and text.get("format") == {"type": "text"}:
        unsaid["~text.format"] = text["format"]
    included = members.rest.get("include")
    if isinstance(included, list) and included:
        unsaid["~include"] = included
    return unsaid


def _sampling(members: Members) -> Sampling:
    included = members.items("include") or []
    for index, each in enumerate(included):
        if not isinstance(each, str):
            wrong(f"include[{index}]", "must be a string")
    others = [each for each in included if each not in (LOGPROBS, SEALED)]
    if others:
        members.rest["include"] = others
    return Sampling(
        max_tokens=members.whole("max_output_tokens"),
        temperature=members.number("temperature"),
        top_p=members.number("top_p"),
        logprobs=True if LOGPROBS in included else None,
        top_logprobs=members.whole("top_logprobs"),
    )


def _reasoning(members: Members, paths: dict[str, str]) -> tuple[Reasoning, Members | None]:
    wanted = members.inner("reasoning")
    if wanted is None:
        return Reasoning(), None
    effort = wanted.word("effort", _EFFORTS)
    summary = wanted.word("summary", _SUMMARIES)
    paths |= {"effort": "reasoning.effort", "mode": "reasoning.effort", "summary": "reasoning.summary"}
    older = None
    if summary is None:
        older = wanted.word("generate_summary", _SUMMARIES)
        paths["summary"] = "reasoning.summary" if older is None else "reasoning.generate_summary"
    made = Reasoning(
        path="reasoning", effort=effort, mode="off" if effort == "none" else None, summary=summary or older
    )
    return made, wanted


def _format(members: Members) -> tuple[Format | None, Members | None]:
    text = members.inner("text")
    form = text.inner("format") if text is not None else None
    if form is None:
        return None, text
    kind = form.word("type", ("text", "json_object", "json_schema")) or form.missing("type")
    if kind == "text":
        return None, text
    made = Format(
        path=form.path,
        kind="json" if kind == "json_object" else "schema",
        name=form.text("name"),
        description=form.text("description"),
        schema=form.object("schema"),
        strict=form.flag("strict"),
        extra=form.left(),
    )
    return made, text


def _knobs(members: Members) -> dict[str, Any]:
    knobs: dict[str, Any] = {name: members.text(name) for name in TEXT_KNOBS}
    knobs |= {name: members.object(name) for name in OBJECT_KNOBS}
    knobs["store"] = members.flag("store")
    return {name: value for name, value in knobs.items() if value is not None}
