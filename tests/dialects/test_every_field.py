"""Every member of every request that the vendors' SDKs can send: carried, listed as dropped, or refused by its path.

The requests are made from the SDKs' types (`sdk_types.py`), so that a member which a new version of an SDK adds is
asked about here as well. A member is carried when the translation without it, or with another value, is another one.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

import pytest
from anthropic.types.beta import message_create_params as beta_create_params

from llmproxy.dialects.catalog import codecs
from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.name_limits import ToolNames
from llmproxy.errors import Untranslatable
from tests.support.sdk_types import PARAMS, Variant, is_absent, variants
from tests.support.translation_cases import NAMES, PAIRS, find, steps

# What stands in each request beside the member that it is about. With tools, the choice among them means something.
BASE: dict[str, dict[str, Any]] = {
    "chat": {"tools": [{"type": "function", "function": {"name": "given"}}]},
    "messages": {"tools": [{"name": "given", "input_schema": {"type": "object"}}]},
    "converse": {
        "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
        "toolConfig": {"tools": [{"toolSpec": {"name": "given", "inputSchema": {"json": {"type": "object"}}}}]},
    },
    "gemini": {
        "contents": [{"parts": [{"text": "Hi"}]}],
        "tools": [{"functionDeclarations": [{"name": "given"}]}],
    },
    "responses": {
        "model": "m",
        "input": "Hi",
        "tools": [{"type": "function", "name": "given", "parameters": None, "strict": None}],
    },
}
VARIANTS: dict[str, list[Variant]] = {name: list(variants(PARAMS[name])) for name in NAMES}


def plausible(value: Any) -> Any:
    """Return a value made from types alone, with what the types do not say and the vendors demand."""
    if isinstance(value, list):
        return [plausible(each) for each in value]
    if not isinstance(value, dict):
        return value
    made = {name: plausible(each) for name, each in value.items()}
    texts = [name for name in ("arguments", "schema") if isinstance(made.get(name), str)]
    made |= {name: json.dumps({"given": made[name]}) for name in texts}
    for kind, (members, expected) in _ONE_OF.items():
        if made.get("type", made.get("role")) == kind:
            holder = made.get(kind, made) if kind == "file" else made
            if not any(holder.get(member) for member in members):
                holder[expected] = "given"
    if "tools" in made and "mode" in made:
        made["tools"] = [{"type": "function", "name": "given", "function": {"name": "given"}}]
    _put_in_the_right_mouth(made)
    return made


# Of these members one must be there; the one named is put in.
_ONE_OF = {
    "file": ({"file_data", "file_id"}, "file_id"),
    "input_file": ({"file_data", "file_id", "file_url"}, "file_id"),
    "input_image": ({"image_url", "file_id"}, "file_id"),
    "assistant": ({"content", "tool_calls", "function_call"}, "content"),
}


_ROLES = ("user", "assistant", "system", "developer", "tool", "function", "model")


def _put_in_the_right_mouth(message: dict[str, Any]) -> None:
    """Messages has one type for the messages of all roles; results are said by the user and calls by the model."""
    content = message.get("content")
    if "role" in message and ("parts" in message or message["role"] not in _ROLES):
        message["role"] = "user"
    for part in message.get("parts") or ():
        if isinstance(part, dict) and part.keys() & {"functionCall", "functionResponse"}:
            message["role"] = "model" if "functionCall" in part else "user"
    if "role" not in message or not isinstance(content, list):
        return
    kinds = {kind for block in content if isinstance(block, dict) for kind in (block.get("type"), *block)}
    if kinds & {"tool_result", "toolResult"}:
        message["role"] = "user"
    elif kinds & {"tool_use", "toolUse"}:
        message["role"] = "assistant"


class Outcome(NamedTuple):
    """A translation: the body, or the path for which it was refused, and the losses."""

    body: dict[str, Any] | None
    refused: str | None
    dropped: list[str]


def translated(source: str, target: str, body: dict[str, Any]) -> Outcome:
    """Return a request of `source`, for a provider of `target`."""
    losses = Losses()
    request = codecs()[source].decode_request(plausible(BASE[source] | body))
    request.model = "model-1"
    try:
        if source != target:
            ToolNames(64).replace(request)
        return Outcome(
            codecs()[target].encode_request(request, codecs()[target].context(request.dialect, losses)),
            None,
            losses.dropped,
        )
    except Untranslatable as error:
        return Outcome(None, error.param, losses.dropped)


def related(path: str, listed: str) -> bool:
    """Return whether `listed` names what stands at `path`, around it or in it."""
    return all(one == other for one, other in zip(steps(path), steps(listed), strict=False))


def lost(source: str, target: str, variant: Variant) -> bool:
    """Return whether the member disappears without a word."""
    outcome = translated(source, target, variant.value)
    actual = [outcome.refused] if outcome.refused is not None else outcome.dropped
    if any(related(variant.path, each) for each in actual) or is_absent(variant.other):
        return False
    return outcome == translated(source, target, variant.other)


# What may vanish, by source, target and path, each with the reason. What says no more than silence does is left out.
_SILENT: list[tuple[str, str, str, Any, str]] = [
    ("*", "*", r"stream", False, "is what happens unasked"),
    ("*", "*", r"store", False, "is what happens unasked"),
    ("*", "*", r"background", False, "is what happens unasked"),
    ("*", "*", r"truncation", "disabled", "is what happens unasked"),
    ("*", "*", r"logprobs", False, "is what happens unasked"),
    ("*", "*", r"parallel_tool_calls", True, "is what happens unasked"),
    ("*", "*", r"(response_format|text\.format)(\.type)?", {"type": "text"}, "is what happens unasked"),
    ("*", "*", r"(response_format|text\.format)\.type", "text", "is what happens unasked"),
    ("*", "*", r"(.*\.)?tools\[0\](\.custom)?\.format", {"type": "text"}, "is what such a tool is given unasked"),
    ("*", "*", r"(.*\.)?tools\[0\](\.custom)?\.format\.type", "text", "is what such a tool is given unasked"),
    ("*", "*", r"(.*\.)?tools\[0\](\.function|\.toolSpec)?\.strict", False, "is what happens unasked"),
    ("*", "*", r".*\.is_error", False, "is what results are unasked"),
    ("converse", "*", r".*\.toolResult\.status", "success", "is what results are unasked"),
    ("messages", "*", r"tool_choice\.disable_parallel_tool_use", False, "is what happens unasked"),
    ("gemini", "*", r".*\.(executableCode|codeExecutionResult)\.id", None, "links code to its result"),
    ("gemini", "*", r".*\.functionResponse\.name", None, "of a result is linked to its call by an id"),
    ("gemini", "*", r"contents\[0\]\.role", None, "is any word to the types"),
    ("gemini", "*", r".*\.thought", False, "is what texts are unasked"),
    ("gemini", "*", r".*\.thoughtSignature", None, "is nothing to anybody but its maker"),
    ("gemini", "*", r".*\.fileData\.mimeType", None, "is what the file itself tells who fetches it"),
    ("gemini", "*", r"generationConfig\.(responseLogprobs|thinkingConfig\.includeThoughts)", False, "happens unasked"),
    ("gemini", "*", r"toolConfig\.functionCallingConfig\.mode", "AUTO", "is what happens unasked"),
    ("gemini", "*", r"toolConfig\..*\.allowedFunctionNames\[0\]", None, "is any word to the types"),
    ("gemini", "*", r"(contents|tools|.*\.functionResponse\.parts)\[0\]|.*\.thinkingConfig", {}, "says nothing"),
    ("*", "gemini", r"(.*\.json_?[sS]chema|(.*\.)?text\.format)\.name", None, "is a label that no answer bears"),
    ("*", "gemini", r"(.*\.json_schema|(.*\.)?text\.format)\.strict", None, "is what its formats always are"),
    ("converse", "gemini", r".*\.document\.format", "pdf", "is what documents are unasked"),
    ("converse", "*", r".*\.audio\.format", None, "has three names for MP3"),
    ("converse", "messages", r".*\.jsonSchema\.name", None, "is a label that no answer bears"),
    ("*", "*", r".*\.detail", "auto", "is what happens unasked"),
    ("messages", "*", r"thinking\.display", "summarized", "is what happens unasked"),
    ("messages", "*", r"tools\[0\]\.type", "custom", "is what tools are unasked"),
    ("responses", "*", r"input\[0\]\.type", "message", "is what items with a role are unasked"),
    ("*", "*", r"[A-Za-z_]+|.*\.citationsContent", {}, "says nothing"),
    ("converse", "*", r"messages\[0\]\.content\[0\]", {"citationsContent": {}}, "says nothing"),
    ("*", "*", r"model", None, "is chosen by the route"),
    ("chat", "*", r"stream_options\.include_usage", None, "is about what the client is shown"),
    ("chat", "*", r"messages\[0\]\.name", None, "of a message of role function is what links it to its call"),
    ("*", "*", r"tool_choice\.(allowed_tools\.)?tools\[0\]", None, "is any object to the types; see test_tools"),
    ("responses", "*", r"input\[0\]\.(id|status|created_by)", None, "is what the API itself noted of an earlier item"),
    ("responses", "*", r"input\[0\]\.caller(\..*)?", None, "is what the API itself noted of an earlier item"),
    ("responses", "*", r"input\[0\]", {"type": "configuration_update"}, "changes nothing"),
    ("responses", "*", r"input\[0\]\.type", "configuration_update", "is no content"),
    ("responses", "*", r"input\[0\]\.reasoning", {}, "changes nothing"),
    ("responses", "*", r"input\[0\]\.text", {"format": {"type": "text"}}, "is what happens unasked"),
    ("responses", "*", r"input\[0\]\.text\.format", {"type": "text"}, "is what happens unasked"),
    ("responses", "*", r"input\[0\]\.text\.format\.type", "text", "is what happens unasked"),
    ("responses", "messages", r"(input\[0\]\.)?text\.format\.name", None, "is a label that no answer bears"),
    ("responses", "messages", r"(input\[0\]\.)?text\.format\.strict", None, "is what Messages' formats always are"),
    ("responses", "converse", r"(input\[0\]\.)?text\.format\.strict", None, "is what Converse's formats always are"),
]  # fmt: skip


def excused(source: str, target: str, variant: Variant) -> str | None:
    """Why a member may vanish, where it may."""
    value = find(plausible(BASE[source] | variant.value), variant.path)
    for of, to, path, only, why in _SILENT:
        fits = of in ("*", source) and to in ("*", target) and re.fullmatch(path, variant.path)
        if fits and (only is None or (only == value and type(only) is type(value))):
            return why
    return None


@pytest.mark.parametrize(("source", "target"), [pair for pair in PAIRS if pair[0] != pair[1]])
def test_no_member_disappears(source: str, target: str) -> None:
    vanished = [
        variant.path
        for variant in VARIANTS[source]
        if variant.path and lost(source, target, variant) and not excused(source, target, variant)
    ]
    assert vanished == []


@pytest.mark.parametrize("target", ["chat", "responses"])
def test_no_member_of_the_beta_of_messages_disappears(target: str) -> None:
    """Its SDK has a second, larger type for clients that ask for betas."""
    vanished = [
        variant.path
        for variant in variants(beta_create_params.MessageCreateParamsNonStreaming)
        if variant.path and lost("messages", target, variant) and not excused("messages", target, variant)
    ]
    assert vanished == []


@pytest.mark.parametrize(("source", "target"), [pair for pair in PAIRS if pair[0] != pair[1]])
def test_what_is_listed_stands_in_the_request(source: str, target: str) -> None:
    wrong = set()
    for variant in VARIANTS[source]:
        outcome = translated(source, target, variant.value)
        for path in [*outcome.dropped, *([outcome.refused] if outcome.refused else [])]:
            try:
                find(plausible(BASE[source] | variant.value), path)
            except LookupError:
                wrong.add(path)
    assert wrong == set()


@pytest.mark.parametrize("source", NAMES)
def test_every_excuse_is_needed(source: str) -> None:
    """An entry that excuses nothing (any more) hides what disappears later."""
    needed = {
        excused(source, target, variant)
        for target in NAMES
        if target != source
        for variant in VARIANTS[source]
        if variant.path and lost(source, target, variant)
    }
    assert {why for of, _, _, _, why in _SILENT if of == source} <= needed


@pytest.mark.parametrize("dialect", NAMES)
def test_in_its_own_dialect_nothing_is_lost(dialect: str) -> None:
    changed = []
    for variant in VARIANTS[dialect]:
        outcome = translated(dialect, dialect, variant.value)
        missing = _values(plausible(variant.value)) - _values(outcome.body)
        if outcome.dropped or outcome.refused or missing:
            changed.append((variant.path, missing))
    assert changed == []


def _values(body: dict[str, Any] | None) -> set[str]:
    """Return the texts and numbers that were made up. A function's result of the older form is linked to its call by an
    id and no more by its name."""
    actual = {name: value for name, value in (body or {}).items() if name != "model"}
    if isinstance(actual.get("messages"), list) and actual["messages"][0].get("role") == "function":
        actual["messages"] = [{**actual["messages"][0], "name": ""}]
    return set(re.findall(r"word[0-9]+|\b[0-9]{4,}\b", json.dumps(actual)))
