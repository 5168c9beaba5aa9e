"""A chat request, decoded into the neutral vocabulary.

Source: the SDK's `completion_create_params`. Each member is carried by name, by meaning, or kept in `extra`. Begin
reading at `decode_request`.
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.chat.request_messages import MessageDecoder
from llmproxy.dialects.chat.tables import LEGACY, OBJECT_KNOBS, SWITCH, SWITCH_MODES, TEXT_KNOBS
from llmproxy.dialects.chat.tools import decode_choice, decode_tools
from llmproxy.dialects.efforts import EFFORTS
from llmproxy.dialects.extra import nested_extra
from llmproxy.dialects.members import Members, name_of, wrong
from llmproxy.dialects.model import Effort, Message, Reasoning, Request, Sampling
from llmproxy.dialects.request_fields import decode_format, decode_knobs, decode_strings

_LIMITS = ("max_completion_tokens", "max_tokens")

_SEED = "random_seed"
"""Mistral's name for `seed`."""
_SAMPLING = frozenset(
    (
        *(*_LIMITS, "temperature", "top_p", "top_k", "stop", "seed", _SEED, "presence_penalty", "frequency_penalty"),
        *("logit_bias", "logprobs", "top_logprobs"),
    )
)
_DEFAULT = "default"
"""Groq's word for the effort that a model has by itself."""


def decode_request(body: dict[str, Any]) -> Request:
    """Return a request, from the decoded JSON object. Raises BadRequest with the JSON path of what is wrong."""
    members = Members(body)
    paths: dict[str, str] = {"parallel_tools": "parallel_tool_calls", "format": "response_format"}
    model = members.needed_text("model")
    decoder = MessageDecoder()
    messages = members.items("messages")
    if messages is None:
        members.missing("messages")
    _decode_messages(decoder, messages, 0)
    legacy = members.rest.get("functions") is not None
    options, form = members.inner("stream_options"), members.inner("response_format")
    request = Request(
        dialect="chat",
        model=model,
        system=decoder.system,
        messages=decoder.messages,
        tools=decode_tools(members),
        tool_choice=decode_choice(members, paths),
        parallel_tools=members.flag("parallel_tool_calls"),
        sampling=_decode_sampling(members, paths),
        reasoning=_decode_reasoning(members, paths),
        format=None if form is None else decode_format(form, "json_schema"),
        knobs=decode_knobs(members, TEXT_KNOBS, OBJECT_KNOBS),
        cache=members.any("cache_control"),
        stream=members.flag("stream") or False,
        include_usage=options is not None and options.flag("include_usage") is True,
        paths=paths,
    )
    if legacy:
        # Such a client expects one call a turn, elsewhere in the answer.
        request.echo[LEGACY] = True
        if request.parallel_tools is None:
            request.parallel_tools, paths["parallel_tools"] = False, "functions"
    if members.whole("n") not in (None, 1):
        members.rest["n"] = body["n"]
    request.extra = nested_extra(members, options)
    return request


def decode_turns(messages: list[Any], first: int) -> list[Message] | None:
    """Return the messages of a request from the index `first` on; None with results of functions, which are known by
    names that stand further ahead."""
    if any([isinstance(message, dict) and message.get("role") == "function" for message in messages]):
        return None
    decoder = MessageDecoder()
    _decode_messages(decoder, messages, first)
    return decoder.messages


def _decode_messages(decoder: MessageDecoder, messages: list[Any], first: int) -> None:
    for index, message in enumerate(messages, first):
        if not decoder.decode_plain(message, index):
            decoder.decode(Members(message, f"messages[{index}]"))


def _decode_sampling(members: Members, paths: dict[str, str]) -> Sampling:
    if members.rest.keys().isdisjoint(_SAMPLING):
        return Sampling()
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
        stop=_decode_stop(members.any("stop")),
        seed=_decode_seed(members, paths),
        presence_penalty=members.number("presence_penalty"),
        frequency_penalty=members.number("frequency_penalty"),
        logit_bias=members.object("logit_bias"),
        logprobs=members.flag("logprobs"),
        top_logprobs=members.whole("top_logprobs"),
    )
    members.rest.update(extra)  # of two limits the newer counts
    return sampling


def _decode_seed(members: Members, paths: dict[str, str]) -> int | None:
    if members.rest.get("seed") is None and members.rest.get(_SEED) is not None:
        paths["seed"] = _SEED
        return members.whole(_SEED)
    return members.whole("seed")


def _decode_stop(value: object) -> list[str]:
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        wrong("stop", f"must be a string or an array, not {name_of(value)}")
    return decode_strings(value, "stop")


def _decode_reasoning(members: Members, paths: dict[str, str]) -> Reasoning:
    if members.rest.get("reasoning_effort") == _DEFAULT:
        del members.rest["reasoning_effort"]
    effort = members.word("reasoning_effort", EFFORTS)
    if effort is not None:
        paths["effort"] = paths["mode"] = "reasoning_effort"
    switch = members.rest.get(SWITCH)
    if isinstance(switch, dict) and switch.get("type") in SWITCH_MODES:
        return _decode_switch(Members(members.any(SWITCH), SWITCH), effort, paths)
    if effort is None:
        return Reasoning()
    return Reasoning(path="reasoning_effort", effort=effort, mode="off" if effort == "none" else None)


def _decode_switch(switch: Members, effort: Effort | None, paths: dict[str, str]) -> Reasoning:
    """Return what a client asks for that turns thinking on or off by a member of its own."""
    mode = SWITCH_MODES[switch.needed_text("type")]
    paths["mode"], paths["budget_tokens"] = f"{SWITCH}.type", f"{SWITCH}.budget_tokens"
    budget = switch.whole("budget_tokens")
    return Reasoning(path=SWITCH, mode=mode, effort=effort, budget_tokens=budget, extra=switch.left())
